// What a reload needs to go on, in the tab's sessionStorage: choices, ids of work, and small pictures. Never a key, a
// token or a link. It ends with the tab.
const NAME = "coldswap";

export const state = { tab: "swap", swap: {}, short: {}, ...JSON.parse(sessionStorage.getItem(NAME) || "{}") };

// Keep the state; where it does not fit, pictures stay out of it, and only they are asked for again.
export function save() {
  for (const kept of [state, { ...state, swap: { ...state.swap, meme: undefined, faces: undefined } }]) {
    try {
      return sessionStorage.setItem(NAME, JSON.stringify(kept));
    } catch { /* too large, or the browser keeps nothing */ }
  }
}

// Something for the way to the issuer and back, read once.
export const put = (name, value) => sessionStorage.setItem(`${NAME}.${name}`, JSON.stringify(value));
export function take(name) {
  const value = sessionStorage.getItem(`${NAME}.${name}`);
  sessionStorage.removeItem(`${NAME}.${name}`);
  return value && JSON.parse(value);
}
