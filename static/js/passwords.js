// @ts-check
// Beside each password stands a button that shows it. It is made here: without a script there is nothing to press.

/** @param {HTMLInputElement} input */
function addButton(input) {
  if (input.closest(".with-button")) return;
  const name = (input.labels?.[0]?.firstChild?.textContent ?? "password").trim();
  const button = document.createElement("button");
  button.type = "button";
  /** @param {boolean} shown */
  const set = (shown) => {
    input.type = shown ? "text" : "password";
    button.textContent = shown ? "Hide" : "Show";
    button.setAttribute("aria-label", `${button.textContent} ${name}`);
  };
  set(false);
  button.addEventListener("click", () => set(input.type === "password"));
  // Sent as a password, so that no browser keeps it among the texts that it suggests.
  input.form?.addEventListener("submit", () => set(false));
  const together = document.createElement("span");
  together.className = "with-button";
  const had = document.activeElement === input;
  input.replaceWith(together);
  together.append(input, button);
  if (had) input.focus();
}

/** @param {ParentNode} root */
function addButtons(root) {
  for (const input of root.querySelectorAll('input[type="password"]')) addButton(/** @type {HTMLInputElement} */ (input));
}

addButtons(document);
document.addEventListener("sendonce:shown", (event) => addButtons(/** @type {Element} */ (event.target)));
