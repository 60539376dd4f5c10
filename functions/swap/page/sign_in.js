// Who calls: a pasted key, or a token of the issuer by authorization code and PKCE (RFC 7636). Both stay in memory: a
// reload asks for the key again, and the issuer without asking anybody.
import { setCredentials } from "./api.js";
import { alertLine, announce, button, field, focusOn, h } from "./dom.js";
import { put, take } from "./session.js";
import { t } from "./texts.js";

// The key in the address's fragment, which is removed from there at once.
export function takeKey() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return key;
}

let onKey = () => {}; // what becomes of a key in a link that is opened in this tab
addEventListener("hashchange", () => { const key = takeKey(); if (key) onKey(key); });

// Resolves once the API takes the credentials: `check` asks it, `gate` shows a form.
export async function signIn(config, { linkedKey, check, gate }) {
  if (config.auth === "key") return askForKey(linkedKey, check, gate);
  if (config.auth === "jwt") return signInAtIssuer(config.sign_in, check, gate);
  return check();
}

async function askForKey(linkedKey, check, gate) {
  const use = async (key) => {
    if (!/^[\x21-\x7e]+$/.test(key)) throw Object.assign(new Error(), { code: "refused" }); // no header could have it
    setCredentials({ "x-api-key": key }, () => {});
    await check();
    setCredentials({ "x-api-key": key }, () => announce(t("error.refused")));
  };
  const explain = (error) => (error.code === "refused" ? t("key.wrong") : error.message);
  const trouble = linkedKey ? await use(linkedKey).catch(explain) : "";
  if (linkedKey && !trouble) return;
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const place = field("key", input, { label: t("key.label"), hint: t("key.hint") });
  place.querySelector(".error").textContent = trouble;
  await new Promise((resolve) => {
    const form = h("form", { noValidate: true, onsubmit: async (event) => {
      event.preventDefault();
      try {
        await use(input.value.trim());
        onKey = use;
        resolve();
      } catch (error) {
        place.querySelector(".error").textContent = explain(error);
        input.setAttribute("aria-invalid", "true");
        input.focus();
      }
    } }, place, button(t("key.use"), null, { class: "primary" }));
    onKey = (key) => { input.value = key; form.requestSubmit(); };
    gate(t("key.why"), form);
    focusOn(input);
  });
}

async function signInAtIssuer(settings, check, gate) {
  if (!settings.issuer || !settings.client_id) {
    gate(t("jwt.unconfigured"));
    return new Promise(() => {});
  }
  const returned = takeAnswer();
  const metadata = await discover(settings.issuer);
  const attempt = returned && take("sign-in");
  let trouble = "";
  if (returned?.code && attempt && returned.state === attempt.state) {
    try {
      return await useTokens(await redeem(metadata, settings, returned.code, attempt.verifier), metadata, settings, check);
    } catch (error) {
      trouble = error.message;
    }
  } else if (returned?.error && attempt && returned.state === attempt.state && !attempt.silent) {
    trouble = t("jwt.refused", { error: returned.error });
  } else if (!returned && take("signed-in")) {
    return leave(metadata, settings, true);
  }
  const go = button(t("jwt.go", { issuer: new URL(settings.issuer).host }), () => leave(metadata, settings, false), { class: "primary" });
  gate(t("jwt.why"), alertLine(trouble), go);
  focusOn(go);
  return new Promise(() => {});
}

function takeAnswer() {
  const query = new URLSearchParams(location.search);
  if (!query.has("state")) return null;
  history.replaceState(null, "", location.pathname);
  return Object.fromEntries(query);
}

async function discover(issuer) {
  const place = `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
  const metadata = await ask(place);
  if (metadata.issuer?.replace(/\/$/, "") !== issuer.replace(/\/$/, "")) throw new Error(t("jwt.other_issuer"));
  return metadata;
}

async function ask(url, body) {
  let response;
  try {
    response = await fetch(url, { method: body ? "POST" : "GET", body, credentials: "omit", referrerPolicy: "no-referrer", cache: "no-store" });
  } catch {
    throw new Error(t("jwt.unreachable", { host: new URL(url).host }));
  }
  const json = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(t("jwt.refused", { error: json.error_description || json.error || response.status }));
  return json;
}

// Go to the issuer; with `silent` it asks nobody.
async function leave(metadata, settings, silent) {
  const [state, verifier] = [randomText(), randomText()];
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  put("sign-in", { state, verifier, silent });
  const url = new URL(metadata.authorization_endpoint);
  for (const [name, value] of Object.entries({ response_type: "code", client_id: settings.client_id, scope: settings.scopes,
    redirect_uri: redirectUri(), state, code_challenge: encode(digest), code_challenge_method: "S256", ...(silent ? { prompt: "none" } : {}) })) {
    url.searchParams.set(name, value);
  }
  location.assign(url);
  return new Promise(() => {});
}

const redirectUri = () => location.origin + location.pathname;

const redeem = (metadata, settings, code, verifier) => ask(metadata.token_endpoint, new URLSearchParams({
  grant_type: "authorization_code", code, code_verifier: verifier, client_id: settings.client_id, redirect_uri: redirectUri() }));

// Use the access token; once it has ended, the issuer is asked for another, and the page goes on.
async function useTokens(tokens, metadata, settings, check) {
  const headers = { authorization: `Bearer ${tokens.access_token}` };
  setCredentials(headers, () => {});
  try {
    await check();
  } catch (error) {
    throw error.code === "refused" ? new Error(t("jwt.not_taken")) : error;
  }
  put("signed-in", true);
  setCredentials(headers, () => leave(metadata, settings, true));
}

const randomText = () => encode(crypto.getRandomValues(new Uint8Array(32)));
const encode = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
