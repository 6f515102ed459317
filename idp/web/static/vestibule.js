// Small comforts on top of pages that work without them: Caps Lock hint, show password, double-press guard, time left.
// Texts come from data-* attributes, so that they are translated with the page. Nothing is sent or stored from here.
(() => {
  "use strict";
  const texts = document.body.dataset;

  // Passwords: a Caps Lock hint and a button that shows what was typed.
  for (const field of document.querySelectorAll("input[type=password]")) {
    const row = document.createElement("div");
    row.className = "password-row";
    const hadFocus = document.activeElement === field;
    field.replaceWith(row);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "secondary reveal";
    button.setAttribute("aria-controls", field.id);
    const reveal = (isShown) => {
      field.type = isShown ? "text" : "password";
      button.textContent = isShown ? texts.hide : texts.show;
      button.setAttribute("aria-label", isShown ? texts.hidePassword : texts.showPassword);
    };
    reveal(false);
    button.addEventListener("click", () => reveal(field.type === "password"));
    row.append(field, button);
    const hint = document.createElement("p");
    hint.className = "caps-lock";
    hint.setAttribute("role", "status");
    row.after(hint);
    if (hadFocus) field.focus();
    const look = (event) => {
      if (!event.getModifierState) return;
      const isOn = event.getModifierState("CapsLock");
      if (isOn !== (hint.textContent !== "")) hint.textContent = isOn ? texts.capsLock : "";
    };
    for (const kind of ["keydown", "keyup", "mousedown"]) field.addEventListener(kind, look);
    field.addEventListener("blur", () => { hint.textContent = ""; });
    // A shown password would be kept by the browser among the things typed in text fields.
    if (field.form) field.form.addEventListener("submit", () => reveal(false));
  }

  // Pages that are made to be printed.
  for (const place of document.querySelectorAll("[data-print]")) {
    place.hidden = false;
    place.addEventListener("click", () => window.print());
  }

  // A second press within two seconds is a double press; a later one is a new try after a lost request and goes through.
  const sentAt = new WeakMap();
  const timers = [];
  for (const form of document.querySelectorAll("form[method=post]")) {
    if (form.id === "form-post-form" || form.dataset.passkey) continue; // a passkey's dialog takes as long as it takes
    const status = document.createElement("p");
    status.className = "slow";
    status.setAttribute("role", "status");
    form.append(status);
    form.addEventListener("submit", (event) => {
      const now = Date.now();
      if (now - (sentAt.get(form) || 0) < 2000) {
        event.preventDefault();
        return;
      }
      sentAt.set(form, now);
      status.textContent = "";
      timers.push(setTimeout(() => { status.textContent = texts.slow; }, 6000));
    });
    window.addEventListener("pageshow", () => {
      sentAt.delete(form);
      timers.splice(0).forEach(clearTimeout);
      status.textContent = "";
    });
  }

  // Time left before the idle sign-out: says so two minutes before, then takes the page away. Asking the server would count as activity.
  const left = document.getElementById("time-left");
  const closed = document.getElementById("closed-page");
  if (left && closed) {
    const deadline = Date.now() + Number(left.dataset.secondsLeft) * 1000;
    const warning = document.getElementById("time-warning");
    const warningText = document.getElementById("time-warning-text");
    const title = document.title;
    let clock = 0;
    let said = 0;
    const tick = () => {
      const seconds = Math.round((deadline - Date.now()) / 1000);
      if (seconds <= 0) {
        clearInterval(clock);
        const main = document.getElementById("main");
        main.replaceChildren(closed.content.cloneNode(true));
        document.title = main.querySelector("h1").textContent;
        main.querySelector("h1").focus();
        return;
      }
      const minutes = Math.max(1, Math.round(seconds / 60));
      left.textContent = left.dataset.text.replace("{minutes}", minutes);
      if (seconds <= 120 && said !== minutes) {
        said = minutes;
        warning.hidden = false;
        warningText.textContent = warning.dataset.text.replace("{minutes}", minutes);
        document.title = "(" + minutes + " min) " + title;
      }
    };
    clock = setInterval(tick, 5000);
    document.addEventListener("visibilitychange", tick);
    window.addEventListener("pageshow", tick);
    tick();
  }
})();
