// @ts-check
// The status page: the age of the last tick follows every beat of the stream, the rest is looked at again now and then.
import { refresh } from "./live.js";

const LOOK_EVERY = 10;

let beats = 0;
document.addEventListener("sendonce:beat", (event) => {
  const { last_tick: tick } = /** @type {CustomEvent<{last_tick: string | null}>} */ (event).detail;
  if (tick) document.querySelector("[data-beat] time")?.setAttribute("datetime", tick);
  beats += 1;
  if (beats % LOOK_EVERY === 0 && !document.hidden) refresh().catch(() => {});
});
