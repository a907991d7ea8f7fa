/** What `doctor` says about one thing that it has looked at. */

export type State = 'ok' | 'warning' | 'failure';

export interface Finding {
  /** What was looked at, in a word or two: `kernel`, `/dev/video0`. */
  readonly what: string;
  readonly state: State;
  /** A sentence without a full stop. */
  readonly found: string;
  /** What helps, in a sentence without a full stop. null: nothing is wrong. */
  readonly cure: string | null;
  /** The page of the documentation, with its section: `docs/vmm.md#qemu`. null: nothing is wrong. */
  readonly page: string | null;
}

export const ok = (what: string, found: string): Finding => ({
  what,
  state: 'ok',
  found,
  cure: null,
  page: null,
});

const wrong =
  (state: State) =>
  (what: string, found: string, cure: string, page: string): Finding => ({ what, state, found, cure, page });

/** It works, but not everything does. */
export const warning = wrong('warning');
/** The bridge cannot do its work. */
export const failure = wrong('failure');
