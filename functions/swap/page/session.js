// What a reload needs to go on, in the tab's sessionStorage: choices, ids of running work, and pictures that were not
// uploaded yet. Never a key, a token or a link. It ends with the tab, and what is deleted is removed from it.
const NAME = "coldswap";

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(NAME)) || {};
  } catch {
    return {};
  }
}

export const state = { tab: "swap", swap: {}, short: {}, ...read() };

// Keep the state; where it does not fit, pictures stay out of it, and only they are asked for again.
export function save() {
  try {
    sessionStorage.setItem(NAME, JSON.stringify(state));
  } catch {
    const light = { ...state, swap: { ...state.swap, meme: undefined, faces: undefined } };
    try {
      sessionStorage.setItem(NAME, JSON.stringify(light));
    } catch { /* the browser keeps nothing: a reload begins anew */ }
  }
}

// Something for the way to the issuer and back, read once.
export const put = (name, value) => sessionStorage.setItem(`${NAME}.${name}`, JSON.stringify(value));
export function take(name) {
  const value = sessionStorage.getItem(`${NAME}.${name}`);
  sessionStorage.removeItem(`${NAME}.${name}`);
  return value && JSON.parse(value);
}
