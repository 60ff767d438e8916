// What every module may rely on without importing it: the vendored libraries, what theme.js puts on `window`, and the
// events by which modules, htmx and the server's answers talk to each other. uPlot brings its own global type.
/// <reference types="uplot" />

export {};

declare global {
  const htmx: Htmx; // vendor/htmx-*/htmx.min.js
  var setTheme: (choice: string) => void; // theme.js
  var onconnect: ((event: MessageEvent) => void) | null; // of a SharedWorker: shared/live-worker.js

  interface Htmx {
    ajax(
      method: "GET" | "POST",
      path: string,
      context: { source: Element; target?: Element; swap?: string; values?: Record<string, string> },
    ): Promise<void>;
    process(element: Element): void;
  }

  /** The short notice that an answer of the server asks for (header HX-Trigger). */
  interface Notice {
    text: string;
    tone: "good" | "warn" | "bad";
    undo?: UndoRequest;
  }

  /** The request that takes an action back. */
  interface UndoRequest {
    path: string;
    values: Record<string, string>;
  }

  /** What has changed; without an id it may be anything of that kind. */
  interface LiveDetail {
    id?: string;
    run?: string;
    job?: string;
    pools?: string;
  }

  interface ThemeAndLiveEvents {
    theme: Event; // theme.js: the theme has changed
    "live:run": CustomEvent<LiveDetail>; // shared/live.js
    "live:job": CustomEvent<LiveDetail>;
    "live:pools": CustomEvent<LiveDetail>;
    released: Event; // jobs/queue-drag.js: a part that was held during a drag is free again
    "compare-chosen": Event; // shared/keyboard.js: the key that compares the selected runs
    "runs-shown": Event; // table/state.js: another table is shown
    "runs-changed": Event; // table/state.js: rows have been replaced
    "filter-refused": CustomEvent<DOMStringMap | null>; // table/state.js: null once the filter is understood
  }

  interface HtmxEvents {
    notice: CustomEvent<Notice>; // the server's HX-Trigger
    changed: Event; // the server's HX-Trigger: an action of this person has changed something
    "htmx:afterRequest": CustomEvent<{ elt: Element; xhr: XMLHttpRequest }>;
    "htmx:afterSettle": CustomEvent<{ elt?: Element; target?: Element } | null>;
    "htmx:beforeSwap": CustomEvent<{ target: HTMLElement; shouldSwap: boolean; requestConfig: { elt: Element } }>;
    "htmx:confirm": CustomEvent<{ question: string | null; path: string; elt: Element }>;
    "htmx:responseError": CustomEvent<{ xhr: XMLHttpRequest }>;
    "htmx:sendError": CustomEvent;
  }

  interface DocumentEventMap extends ThemeAndLiveEvents, HtmxEvents {}
  interface HTMLElementEventMap extends HtmxEvents {
    view: CustomEvent<{ fields: string[] }>; // chart/page.js: fields of the view have changed
  }
}
