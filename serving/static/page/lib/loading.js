// Answers that a view loads once, again after a while, or when what it depends on changes.
import { get } from "./api.js";
import { useEffect, useState } from "./html.js";

/**
 * {answer, error, again}: the answer to an address below /v1, read again each `everyMs` while the
 * page is seen; null path: nothing.
 */
export function useAnswer(path, parameters = {}, everyMs = 0) {
  const [found, setFound] = useState({ answer: null, error: null });
  const [round, setRound] = useState(0);
  const key = path && `${path}?${new URLSearchParams(Object.entries(parameters).filter(([, v]) => v))}`;
  useEffect(() => {
    setFound({ answer: null, error: null });
  }, [key]);
  useEffect(() => {
    if (!path) return undefined;
    const abort = new AbortController();
    get(path, parameters, abort.signal)
      .then((answer) => setFound({ answer, error: null }))
      .catch((error) => {
        if (error.name !== "AbortError") setFound((before) => ({ answer: before.answer, error }));
      });
    const next = () =>
      document.hidden
        ? document.addEventListener("visibilitychange", next, { signal: abort.signal, once: true })
        : setRound(round + 1);
    const timer = everyMs && setTimeout(next, everyMs);
    return () => {
      abort.abort();
      clearTimeout(timer);
    };
  }, [key, round]);
  return { ...found, again: () => setRound(round + 1) };
}
