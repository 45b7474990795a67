// @ts-check
// Accounts: a provider's server fills the form in place, and a test that went well shows on the page.
import { refresh } from "./live.js";
import "./passwords.js";

/** @param {MouseEvent} event */
function onClick(event) {
  if (event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const chip = /** @type {HTMLAnchorElement | null} */ (/** @type {Element} */ (event.target).closest("a[data-preset]"));
  const form = /** @type {HTMLFormElement | null} */ (document.getElementById("account-form"));
  const says = document.getElementById("preset-says");
  if (!chip || !form || !says) return;
  event.preventDefault();
  const names = [...document.querySelectorAll("a[data-preset]")].map((one) => one.getAttribute("data-name"));
  const name = /** @type {HTMLInputElement} */ (form.elements.namedItem("name"));
  // A name of one's own stays.
  if (!name.value || names.includes(name.value)) name.value = chip.dataset.name ?? "";
  for (const field of ["host", "port", "security", "preset"]) {
    const input = /** @type {HTMLInputElement | RadioNodeList | null} */ (form.elements.namedItem(field));
    if (input) input.value = chip.dataset[field] ?? "";
  }
  for (const one of document.querySelectorAll("a[data-preset]")) one.toggleAttribute("aria-current", false);
  chip.setAttribute("aria-current", "true");
  says.hidden = false;
  says.textContent = chip.dataset.says ?? "";
}

document.addEventListener("click", onClick);
document.addEventListener("sendonce:shown", (event) => {
  // A test that went well ends failing and paused: the page says so too.
  if (/** @type {Element} */ (event.target).id === "test-form") refresh().catch(() => {});
});
