// The self-test page: says that scripts run, and how far the device's clock is from the server's. Texts come from data-* attributes; nothing is sent.
(() => {
  "use strict";
  const place = document.getElementById("selftest-script");
  if (!place) return;
  place.textContent = place.dataset.on;
  const clock = document.getElementById("selftest-skew");
  const minutes = Math.round((Date.now() / 1000 - Number(clock.dataset.server)) / 60);
  const off = Math.abs(minutes);
  if (off < 2) clock.textContent = clock.dataset.right;
  else if (off < 120) clock.textContent = clock.dataset.wrong.replace("{minutes}", String(off));
  else clock.textContent = clock.dataset.wrongHours.replace("{hours}", String(Math.round(off / 60)));
})();
