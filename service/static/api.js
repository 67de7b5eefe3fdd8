// One fetch with the tab's API key; whatever goes wrong becomes an Error with a sentence for the reader.
const KEY = "dgrl-key";

export class Refusal extends Error {
  constructor(problem, retryAfter) {
    const text = problem.detail === problem.title ? problem.title : `${problem.title}: ${problem.detail}`;
    super(retryAfter ? `${text}. Try again in ${retryAfter} s.` : text);
    this.problem = problem;
  }
}

export function useKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export async function call(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const response = await fetch(path, { ...options, headers: key ? { "X-API-Key": key } : {} }).catch((error) => {
    if (error.name === "AbortError") throw new Error("Stopped waiting for the answer. What had been sent may have been done all the same.");
    throw new Error("The service did not answer. See whether it runs and the network is up, and try again.");
  });
  if (response.ok) return response;
  if (response.status === 401) {
    document.dispatchEvent(new Event("key-wanted"));
    throw new Error(key ? "The API key is not valid." : "The service wants an API key: enter it under “API key”.");
  }
  const problem = await response.json().catch(() => null); // a proxy in between answers as it likes
  throw problem?.title
    ? new Refusal(problem, response.headers.get("Retry-After"))
    : new Error(`The answer was ${response.status} ${response.statusText}, not from the service itself.`);
}

export const getJson = async (path) => (await call(path)).json();

export const address = (identity, image) =>
  `/gallery/${encodeURIComponent(identity)}${image === undefined ? "" : `/images/${encodeURIComponent(image)}`}`;
