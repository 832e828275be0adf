// Numbers as people read them.

/** "1 connection", "2,000 connections". */
export const count = (number: number, noun: string) => `${number.toLocaleString()} ${noun}${number === 1 ? "" : "s"}`

const UNITS = ["bytes", "kB", "MB", "GB", "TB", "PB"]

export function bytes(number: number): string {
  let step = 0
  while (number >= 999.5 && step < UNITS.length - 1) {
    number /= 1000
    step += 1
  }
  return `${number.toLocaleString(undefined, { maximumSignificantDigits: 3 })} ${UNITS[step]}`
}

/** A rate, with as many digits as it needs. */
export const rate = (number: number) => number.toLocaleString(undefined, { maximumFractionDigits: number < 10 ? 1 : 0 })

/** Seconds in the largest unit that fits, and the next: "2 h 5 min". */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  if (hours < 48) return `${hours} h ${minutes % 60} min`
  return `${Math.floor(hours / 24)} d ${hours % 24} h`
}
