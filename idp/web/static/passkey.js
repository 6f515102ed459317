// Passkeys: asks the browser, puts its answer in a hidden field, and sends the form; the server's page says what came of it.
// Works on every form with data-passkey="create" or "get"; texts come from data-* attributes. Nothing is stored, nothing else is asked.
(() => {
  "use strict";

  const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (character) => character.charCodeAt(0));
  const toText = (buffer) => {
    let raw = "";
    for (const byte of new Uint8Array(buffer)) raw += String.fromCharCode(byte);
    return btoa(raw).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
  };
  const readDescriptors = (list) => (list || []).map((entry) => ({ ...entry, id: toBytes(entry.id) }));

  const readOptions = (form) => {
    const asked = JSON.parse(form.dataset.options);
    asked.challenge = toBytes(asked.challenge);
    if (form.dataset.passkey === "create") {
      asked.user.id = toBytes(asked.user.id);
      asked.excludeCredentials = readDescriptors(asked.excludeCredentials);
    } else {
      asked.allowCredentials = readDescriptors(asked.allowCredentials);
    }
    return asked;
  };

  const write = (credential) => {
    const given = credential.response;
    const response = { clientDataJSON: toText(given.clientDataJSON) };
    if (given.attestationObject) {
      response.attestationObject = toText(given.attestationObject);
      response.transports = given.getTransports ? given.getTransports() : [];
    } else {
      response.authenticatorData = toText(given.authenticatorData);
      response.signature = toText(given.signature);
      response.userHandle = given.userHandle && given.userHandle.byteLength ? toText(given.userHandle) : null;
    }
    return JSON.stringify({ id: credential.id, rawId: toText(credential.rawId), type: credential.type, response });
  };

  const isAble = Boolean(window.isSecureContext && window.PublicKeyCredential && navigator.credentials);
  let waiting = null; // the autofill that stands by; a browser serves one question at a time

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const button = form.querySelector("button[type=submit]");
    const status = form.querySelector("[data-passkey-status]");
    const texts = form.dataset;
    const say = (text) => { if (status) status.textContent = text || ""; };
    let isBusy = false;

    if (!isAble) {
      // An optional way is not shown at all; where it was asked for, the page says why it cannot be used.
      if (form.dataset.optional === undefined) {
        say(texts.unable);
        button.disabled = true;
      } else {
        form.hidden = true;
      }
      continue;
    }
    form.hidden = false;

    const send = (credential) => {
      form.elements.namedItem("credential").value = write(credential);
      say(texts.sending);
      form.submit();
    };
    const ask = (how) => form.dataset.passkey === "create"
      ? navigator.credentials.create({ publicKey: readOptions(form), ...how })
      : navigator.credentials.get({ publicKey: readOptions(form), ...how });
    const explain = (error) => {
      if (error.name === "AbortError") return;
      if (error.name === "InvalidStateError") say(texts.known);
      else if (error.name === "NotAllowedError") say(texts.stopped);
      else say(texts.failed);
    };

    const standBy = async () => {
      if (form.dataset.autofill === undefined || !PublicKeyCredential.isConditionalMediationAvailable) return;
      if (!(await PublicKeyCredential.isConditionalMediationAvailable()) || isBusy) return;
      const standing = new AbortController();
      waiting = standing;
      try {
        const credential = await ask({ mediation: "conditional", signal: standing.signal });
        if (credential && waiting === standing) send(credential);
      } catch {
        // Nobody pressed anything, so there is nothing to explain: the button remains.
      }
    };

    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (isBusy) return;
      isBusy = true;
      if (waiting) {
        const standing = waiting;
        waiting = null;
        standing.abort();
      }
      button.setAttribute("aria-disabled", "true");
      say(texts.asking);
      try {
        send(await ask({}));
      } catch (error) {
        explain(error);
        isBusy = false;
        button.removeAttribute("aria-disabled");
        standBy();
      }
    });

    // A page from the browser's history holds a challenge that has served: it is asked for anew.
    window.addEventListener("pageshow", (event) => { if (event.persisted) location.reload(); });
    standBy();
  }
})();
