// Who is logged in, and what the hub lets that user see.
import { signal } from "@preact/signals"
import { get, operatorToken, request } from "./api"

interface Answer {
  user: string | null
  operator: boolean
  version?: string
  views: Record<string, { needs: string; why_not: string | null }>
}

export interface Me {
  user: string | null
  operator: boolean
  /** For operators only. */
  version?: string
  /** Why the user may not have a view, in words; null: the user may. In the order of the navigation. */
  views: Record<string, string | null>
}

export const me = signal<Me | null>(null)
export const problem = signal<Error | null>(null)

/** Ask the hub again: after a start, or another token. */
export async function ask(): Promise<void> {
  try {
    const answer = await get<Answer>("/-/console/me")
    const operator = answer.operator || (operatorToken.get() !== "" && (await isOperator()))
    const entries = Object.entries(answer.views)
    const views = Object.fromEntries(entries.map(([name, { needs, why_not }]) => [name, operator && needs === "operator" ? null : why_not]))
    me.value = { user: answer.user, operator, version: answer.version, views }
    problem.value = null
  } catch (error) {
    problem.value = error as Error
  }
}

/** Whether the hub takes the operator's token. */
async function isOperator(): Promise<boolean> {
  try {
    await request("/-/connections?id=0")
    return true
  } catch {
    return false
  }
}
