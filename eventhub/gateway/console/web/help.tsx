import { keys } from "./keys"
import { Button } from "./parts/button"
import { Dialog } from "./parts/dialog"

/** The list of keys. */
export function Help({ onClose }: { onClose: () => void }) {
  return (
    <Dialog title="Keys" onClose={onClose}>
      <div class="keys">
        {[...keys.value].map(([owner, own]) => own.length > 0 && (
          <section>
            <h3>{owner}</h3>
            <dl>
              {own.map((each) => (
                <div>
                  <dt>{each.key.split(" ").map((key) => <kbd>{key}</kbd>)}</dt>
                  <dd>{each.does}</dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
      </div>
      <div class="actions"><Button onClick={onClose} autofocus>Close</Button></div>
    </Dialog>
  )
}
