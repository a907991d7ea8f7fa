/** The control protocol (docs/control.md): one line of JSON each way, in UTF-8. Numbers and records only. */

/** Of the protocol. An addition to a result keeps it; what changes or goes away raises it. */
export const CONTROL_VERSION = 1;
/** Bytes of a request, without the newline. */
export const MAX_REQUEST = 4096;
/** Connections at the same time. */
export const MAX_CLIENTS = 8;
/** Milliseconds in which a line that has begun must end. */
export const LINE_MS = 5000;
/** Milliseconds that a connection may be silent between two requests. */
export const IDLE_MS = 60_000;
/** Milliseconds in which an answer must be read. */
export const READ_MS = 5000;
/** Milliseconds between two commands, of all clients together. */
export const PACE_MS = 20;
/** Bytes of an answer that a client of ours takes. */
export const MAX_ANSWER = 16 << 20;

/** Why a request was refused, and what becomes of the connection. */
export const controlErrors = {
  malformed: 'the line is no JSON object with a version and a command',
  version: `the version is not ${CONTROL_VERSION}`,
  unknown: 'there is no such command',
  arguments: 'the arguments of the command are wrong',
  failed: 'the command has failed',
  'too-long': `a request has at most ${MAX_REQUEST} bytes, so the connection is closed`,
  slow: 'a line must end and an answer must be read in time, so the connection is closed',
  idle: 'there was no request for a while, so the connection is closed',
  busy: `there are ${MAX_CLIENTS} connections already, so this one is closed`,
} as const;

export type ControlErrorCode = keyof typeof controlErrors;

/** What a client sends. All other properties are arguments of the command. */
export interface ControlRequest {
  readonly version: number;
  readonly command: string;
  readonly [argument: string]: unknown;
}

export interface ControlResult {
  readonly version: number;
  readonly ok: true;
  readonly result: unknown;
}

export interface ControlRefusal {
  readonly version: number;
  readonly ok: false;
  readonly error: { readonly code: ControlErrorCode; readonly message: string };
}

/** What a client gets for each line. */
export type ControlAnswer = ControlResult | ControlRefusal;

/** `message`: absent: what the code means. */
export const refusal = (code: ControlErrorCode, message: string = controlErrors[code]): ControlRefusal => ({
  version: CONTROL_VERSION,
  ok: false,
  error: { code, message },
});
