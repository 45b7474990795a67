// @ts-check
// The schedule form says what it means while it is filled in. The server does the reckoning: no zone, no clock change
// and no number of people is guessed here.

const QUIET = 250;

/** @type {number | undefined} */
let timer;
/** @type {AbortController | undefined} */
let asking;

/** @param {HTMLFormElement} form @param {string} [pick] */
async function check(form, pick) {
  asking?.abort();
  asking = new AbortController();
  const data = new URLSearchParams(/** @type {any} */ (new FormData(form)));
  data.delete("idempotency_key");
  const address = new URL(form.dataset.check ?? "", location.href);
  if (pick) address.searchParams.set("pick", pick);
  const result = form.querySelector("[data-check-result]");
  try {
    const answer = await fetch(address, { method: "POST", body: data, signal: asking.signal, headers: { Accept: "text/html" } });
    if (!answer.ok) return;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const found = /** @type {HTMLElement | null} */ (page.querySelector("[data-check-answer]"));
    if (!found) return;
    if (pick) fill(form, found);
    result?.replaceChildren(found);
  } catch {
    // Aborted by the next check, or no connection: sending the form says so.
  }
}

/** @param {HTMLFormElement} form @param {HTMLElement} found */
function fill(form, found) {
  for (const name of ["date", "time"]) {
    const value = found.getAttribute(`data-fill-${name}`);
    const input = /** @type {HTMLInputElement | null} */ (form.elements.namedItem(name));
    if (value && input) input.value = value;
  }
}

/** @param {Element} root */
function begin(root) {
  const form = /** @type {HTMLFormElement | null} */ (root.matches("form[data-check]") ? root : root.querySelector("form[data-check]"));
  if (!form) return;
  form.querySelector("[data-picks]")?.removeAttribute("hidden");
  check(form);
}

document.addEventListener("input", (event) => {
  const form = /** @type {Element} */ (event.target).closest("form[data-check]");
  if (!(form instanceof HTMLFormElement)) return;
  clearTimeout(timer);
  timer = setTimeout(() => check(form), QUIET);
});
document.addEventListener("click", (event) => {
  const button = /** @type {Element} */ (event.target).closest("[data-pick]");
  const form = button?.closest("form[data-check]");
  if (form instanceof HTMLFormElement) check(form, button?.getAttribute("data-pick") ?? undefined);
});
document.addEventListener("sendonce:shown", (event) => begin(/** @type {Element} */ (event.target)));
begin(document.documentElement);
