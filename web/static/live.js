// News of the worklist. The server says only that something has changed; the page then fetches
// what it shows. So a lost event costs nothing: the next one carries the present value again.

// A stream that breaks is opened again by the browser. Only a silence longer than this is told.
const PATIENCE_MS = 5000;
const AGAIN_MS = 3000;

/**
 * Listen for changes until the page is left.
 * @param {string} mark what the page shows now
 * @param {(mark: string) => void} onChange called with each value that differs from the last
 * @param {(isLive: boolean) => void} onStatus called when the stream opens, or is gone for long
 */
export function listen(mark, onChange, onStatus) {
  let source = null;
  let patience = 0;

  const heard = () => {
    clearTimeout(patience);
    patience = 0;
    onStatus(true);
  };
  const lost = () => {
    if (!patience) patience = setTimeout(() => onStatus(false), PATIENCE_MS);
    // After an answer that was no stream (a restart, an error page) the browser gives up; we do not.
    if (source.readyState === EventSource.CLOSED) setTimeout(open, AGAIN_MS);
  };
  const open = () => {
    source = new EventSource("/events");
    source.addEventListener("change", (event) => {
      heard();
      if (event.data !== mark) {
        mark = event.data;
        onChange(mark);
      }
    });
    source.addEventListener("error", lost);
  };
  open();
  // Leaving at once frees the server's thread; coming back from the history opens it anew.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
}
