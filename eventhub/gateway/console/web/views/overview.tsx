import { useGet } from "../api"
import { Page } from "../parts/page"
import { Empty, Loading, Problem } from "../parts/states"
import { views } from "../views"

export default function Overview() {
  const { value, error, reload } = useGet<unknown[]>("/-/connections", 5)
  return (
    <Page title="Overview" about={views.overview!.about}>
      {error && <Problem error={error} retry={reload} />}
      {!value ? !error && <Loading /> : <Empty title={`${value.length} connections`} />}
    </Page>
  )
}
