// Forms within a message: to change it, and to confirm that it is to go. And fields that grow.

import { fromTemplate } from "./messages.js";

/** Put a form with `body` into a message; `onSave(text)` gets what it was changed to. */
export function editMessage(node, body, onSave, onClose) {
  const form = openForm(node, "edit", () => {
    const changed = field.value.trim();
    if (changed) onSave(changed);
  }, onClose);
  const field = form.querySelector("textarea");
  field.value = body;
  field.addEventListener("input", () => grow(field));
  field.addEventListener("keydown", submitOnEnter);
  field.focus();
  grow(field);
}

/** Ask in a message whether it is to go. */
export function removeMessage(node, onRemove, onClose) {
  const form = openForm(node, "remove", onRemove, onClose);
  form.querySelector("[data-action=close]").focus(); // a second Enter must not delete
}

function openForm(node, kind, onSubmit, onClose) {
  node.querySelector("form")?.remove();
  const form = fromTemplate(kind);
  const close = () => (form.remove(), onClose());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    onSubmit();
    close();
  });
  form.addEventListener("keydown", (event) => event.key === "Escape" && close());
  form.querySelector("[data-action=close]").addEventListener("click", close);
  node.append(form);
  form.scrollIntoView({ block: "nearest" });
  return form;
}

export function submitOnEnter(event) {
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return; // IMEs choose by Enter
  event.preventDefault();
  event.target.form.requestSubmit();
}

/** Make a field as high as its text, where the browser does not (`field-sizing` in chat.css). */
export function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + area.offsetHeight - area.clientHeight}px`;
}
