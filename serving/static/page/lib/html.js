// What every view needs of the libraries, from one place.
import { h, options, render, Fragment } from "../vendor/preact.js";
import { useEffect, useMemo, useRef, useState } from "../vendor/hooks.js";
import { computed, effect, signal, batch } from "../vendor/signals.js";
import htm from "../vendor/htm.js";

// What changed is rendered once a frame, and not at all while nobody sees the tab.
options.debounceRendering = requestAnimationFrame;

export const html = htm.bind(h);
export { batch, computed, effect, Fragment, render, signal, useEffect, useMemo, useRef, useState };
