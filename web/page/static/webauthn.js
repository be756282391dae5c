// Passkeys (WebAuthn §5.1), the one thing that pages cannot do without a script.
// A button with data-passkey="get" or "create" asks data-options what the browser is
// to do, and sends the form around it to data-send, with the answer in its field
// "answer". What went wrong is on the page already, hidden, by its name.
"use strict";
(() => {
  const bytes = s => Uint8Array.from(atob(s.replaceAll("-", "+").replaceAll("_", "/")), c => c.charCodeAt(0));
  const text = b => btoa(String.fromCharCode(...new Uint8Array(b))).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");

  async function ask(button) {
    const token = button.form.elements.csrf.value;
    const reply = await fetch(button.dataset.options, {method: "POST", headers: {"X-CSRF-Token": token, "Accept": "application/json"}});
    if (!reply.ok) throw {name: String(reply.status)};
    const {publicKey} = await reply.json();
    publicKey.challenge = bytes(publicKey.challenge);
    if (publicKey.user) publicKey.user.id = bytes(publicKey.user.id);
    for (const k of [...publicKey.allowCredentials ?? [], ...publicKey.excludeCredentials ?? []]) k.id = bytes(k.id);
    const key = await navigator.credentials[button.dataset.passkey]({publicKey});
    const response = {transports: key.response.getTransports?.()};
    for (const part of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"])
      if (key.response[part]) response[part] = text(key.response[part]);
    return JSON.stringify({id: key.id, rawId: text(key.rawId), type: key.type, response});
  }

  const show = (selector, on) => document.querySelectorAll(selector).forEach(e => e.hidden = !on);

  async function press(button) {
    const form = button.form;
    show("[data-wrong]", false);
    button.disabled = true;
    try {
      form.elements.answer.value = await ask(button);
      form.action = button.dataset.send;
      form.submit();
    } catch (e) {
      const known = [...document.querySelectorAll("[data-wrong]")].some(w => w.dataset.wrong == e.name);
      show(`[data-wrong="${known ? e.name : ""}"]`, true);
      button.disabled = false;
    }
  }

  if (!window.PublicKeyCredential) return;
  show("[data-passkeys=no]", false);
  show("[data-passkeys=yes]", true);
  document.querySelectorAll("[data-passkey]").forEach(b => b.addEventListener("click", () => press(b)));
})();
