/* Asks four times a second whether the session is still open; the page that is loaded then says why it is not. */
"use strict";
let leaving = false;
addEventListener("beforeunload", () => { leaving = true; });
addEventListener("pageshow", () => { leaving = false; });
const watch = async () => {
  try {
    const answer = await fetch("/vivant", { cache: "no-store", credentials: "same-origin" });
    if (answer.status === 401 && !leaving) { location.reload(); return; }
  } catch { /* the application is stopped: the next try says more */ }
  setTimeout(watch, 250);
};
watch();
