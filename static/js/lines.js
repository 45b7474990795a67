// @ts-check
// A text field for code: numbered lines, and Tab that indents. Esc, then Tab, leaves it (WCAG 2.1.2).

/** @param {HTMLTextAreaElement} field */
export function numberLines(field) {
  const numbers = document.createElement("div");
  const around = document.createElement("div");
  around.className = "lines";
  numbers.className = "editor";
  numbers.setAttribute("aria-hidden", "true");
  field.before(around);
  around.append(numbers, field);
  field.wrap = "off";
  for (const hint of around.parentElement?.querySelectorAll("[data-tabs]") ?? []) hint.removeAttribute("hidden");
  let count = 0;
  const renumber = () => {
    const lines = field.value.split("\n").length;
    if (lines !== count) numbers.textContent = Array.from({ length: lines }, (_, at) => at + 1).join("\n");
    count = lines;
    numbers.scrollTop = field.scrollTop;
  };
  field.form?.addEventListener("input", renumber);
  field.addEventListener("scroll", renumber);
  new ResizeObserver(renumber).observe(field);
  let leaves = false;
  field.addEventListener("keydown", (event) => {
    if (event.key === "Tab" && !leaves && !event.ctrlKey && !event.altKey && !event.metaKey) {
      event.preventDefault();
      indent(field, event.shiftKey);
    } else if (event.key !== "Shift") leaves = event.key === "Escape";
  });
  field.addEventListener("focus", () => { leaves = false; });
  field.addEventListener("pointerdown", () => { leaves = false; });
}

/** Moves the chosen lines by two blanks, or puts two in. @param {HTMLTextAreaElement} field @param {boolean} back */
function indent(field, back) {
  const { selectionStart: start, selectionEnd: end, value } = field;
  if (!back && start === end) return put(field, "  ");
  const from = value.lastIndexOf("\n", start - 1) + 1;
  const lines = value.slice(from, end).split("\n");
  const moved = lines.map((line) => (back ? line.replace(/^ {1,2}|^\t/, "") : `  ${line}`)).join("\n");
  if (moved === lines.join("\n")) return;
  field.setSelectionRange(from, end);
  put(field, moved);
  field.setSelectionRange(from, from + moved.length);
}

/** Puts a text in the place of what is chosen. @param {HTMLInputElement | HTMLTextAreaElement} field @param {string} text */
export function put(field, text) {
  // Unlike setRangeText this can be undone with Ctrl+Z; browsers without it get the other.
  if (document.execCommand("insertText", false, text)) return;
  field.setRangeText(text, field.selectionStart ?? 0, field.selectionEnd ?? 0, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
}

/** Puts the cursor at the beginning of a line, and the line in sight. @param {HTMLTextAreaElement} field @param {number} line */
export function goToLine(field, line) {
  const before = field.value.split("\n").slice(0, line - 1);
  const at = before.join("\n").length + (before.length ? 1 : 0);
  const end = field.value.indexOf("\n", at);
  field.focus();
  field.setSelectionRange(at, end < 0 ? field.value.length : end);
  field.scrollTop = (line - 4) * (field.scrollHeight / field.value.split("\n").length);
}
