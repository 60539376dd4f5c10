// How a caller proves who they are: a pasted key, or a token of the issuer by authorization code and PKCE (RFC 7636).
// Both stay in this module's memory: a reload asks for the key again, and the issuer without asking anybody.
import { setCredentials } from "./api.js";
import { announce, field, focusOn, h } from "./dom.js";
import { put, take } from "./session.js";
import { t } from "./texts.js";

const RENEW_SECONDS = 60; // before a token ends

// The key in the address's fragment, which is removed from there at once.
export function takeKey() {
  const key = new URLSearchParams(location.hash.slice(1)).get("key");
  if (location.hash) history.replaceState(null, "", location.pathname + location.search);
  return key;
}

// Resolves once the API takes the credentials. `check` asks it, `gate` shows what is asked for.
export async function signIn(config, { linkedKey, check, gate }) {
  if (config.auth === "key") return askForKey(linkedKey, check, gate);
  if (config.auth === "jwt") return signInAtIssuer(config.sign_in, check, gate);
  return check();
}

async function askForKey(linkedKey, check, gate) {
  const use = async (key) => {
    setCredentials({ "x-api-key": key }, () => {});
    await check();
    setCredentials({ "x-api-key": key }, () => announce(t("error.refused")));
  };
  let trouble = "";
  if (linkedKey) {
    try {
      return await use(linkedKey);
    } catch (error) {
      trouble = error.code === "refused" ? t("key.wrong") : error.message;
    }
  }
  const input = h("input", { type: "password", autocomplete: "off", spellcheck: "false", required: true });
  const place = field("key", input, { label: t("key.label"), hint: t("key.hint") });
  place.querySelector(".error").textContent = trouble;
  await new Promise((resolve) => {
    const form = h("form", { noValidate: true, onsubmit: async (event) => {
      event.preventDefault();
      try {
        if (!/^[\x21-\x7e]+$/.test(input.value.trim())) throw Object.assign(new Error(), { code: "refused" });
        await use(input.value.trim());
        input.value = "";
        resolve();
      } catch (error) {
        place.querySelector(".error").textContent = error.code === "refused" ? t("key.wrong") : error.message;
        input.setAttribute("aria-invalid", "true");
        input.focus();
      }
    } }, place, h("button", { type: "submit", class: "primary" }, t("key.use")));
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
  const error = h("p", { class: "error", role: "alert" }, trouble);
  const button = h("button", { class: "primary", onclick: () => leave(metadata, settings, false) }, t("jwt.go", { issuer: new URL(settings.issuer).host }));
  gate(t("jwt.why"), error, button);
  focusOn(button);
  return new Promise(() => {});
}

// What the issuer added to the address, which is removed from there.
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

// Go to the issuer; with `silent` it answers at once, with a code if somebody is still signed in there.
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

async function useTokens(tokens, metadata, settings, check) {
  const token = tokens.access_token;
  const again = () => { put("signed-in", true); leave(metadata, settings, true); };
  setCredentials({ authorization: `Bearer ${token}` }, () => {});
  try {
    await check();
  } catch (error) {
    throw error.code === "refused" ? new Error(t("jwt.not_taken")) : error;
  }
  put("signed-in", true);
  setCredentials({ authorization: `Bearer ${token}` }, again);
  if (tokens.refresh_token && tokens.expires_in) renewLater(tokens, metadata, settings, again);
}

// Renew the token before it ends; where that fails, the next request that is refused leads to the issuer.
function renewLater(tokens, metadata, settings, again) {
  setTimeout(async () => {
    try {
      const fresh = await ask(metadata.token_endpoint, new URLSearchParams({ grant_type: "refresh_token", refresh_token: tokens.refresh_token, client_id: settings.client_id }));
      setCredentials({ authorization: `Bearer ${fresh.access_token}` }, again);
      renewLater({ ...tokens, ...fresh }, metadata, settings, again);
    } catch { /* the page works on until the token ends */ }
  }, Math.max(5, tokens.expires_in - RENEW_SECONDS) * 1000);
}

const randomText = () => encode(crypto.getRandomValues(new Uint8Array(32)));
const encode = (bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=/g, "");
