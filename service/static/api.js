// One fetch with the tab's API key; a refusal becomes an Error that carries the problem's sentence.
const KEY = "dgrl-key";

export function useKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export async function call(path, options = {}) {
  const key = sessionStorage.getItem(KEY);
  const response = await fetch(path, { ...options, headers: key ? { "X-API-Key": key } : {} });
  if (response.ok) return response;
  const problem = await response.json().catch(() => ({ title: response.statusText }));
  throw new Error([problem.title, problem.detail].filter(Boolean).join(": "));
}
