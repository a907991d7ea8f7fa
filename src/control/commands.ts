/** The commands of a control socket: a table that every part of the daemon may add to before it serves. */
import { log } from '../log.js';
import {
  CONTROL_VERSION,
  type ControlAnswer,
  type ControlErrorCode,
  type ControlRequest,
  refusal,
} from './protocol.js';

/** The properties of a request besides its version and command. */
export type ControlArguments = Readonly<Record<string, unknown>>;

/** One row. What it returns goes to the client as JSON. */
export type ControlCommand = (given: ControlArguments) => unknown;

/** A command that cannot be done as it was asked. The client gets the message. */
export class ControlError extends Error {
  constructor(
    readonly code: Extract<ControlErrorCode, 'arguments' | 'failed'>,
    message: string,
  ) {
    super(message);
    this.name = 'ControlError';
  }
}

export class ControlCommands {
  readonly #rows = new Map<string, ControlCommand>();

  /** Throws RangeError if the name is taken. */
  add(name: string, command: ControlCommand): void {
    if (this.#rows.has(name)) throw new RangeError(`there is a control command ${name} already`);
    this.#rows.set(name, command);
  }

  get names(): string[] {
    return [...this.#rows.keys()];
  }

  /** Runs the command of a line. Never rejects. */
  async answer(line: string): Promise<ControlAnswer> {
    const request = requestOf(line);
    if (!request) return refusal('malformed');
    const { version, command, ...given } = request;
    if (version !== CONTROL_VERSION) return refusal('version');
    const run = this.#rows.get(command);
    if (!run) return refusal('unknown', `there is no such command, only ${this.names.join(', ')}`);
    try {
      return { version: CONTROL_VERSION, ok: true, result: (await run(given)) ?? null };
    } catch (error) {
      if (error instanceof ControlError) return refusal(error.code, error.message);
      log.fault('a control command failed', error, { command });
      return refusal('failed');
    }
  }
}

/** undefined: the line is no request. */
function requestOf(line: string): ControlRequest | undefined {
  let parsed: unknown;
  try {
    parsed = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return undefined;
  const { version, command } = parsed as Partial<ControlRequest>;
  return typeof version === 'number' && typeof command === 'string' ? (parsed as ControlRequest) : undefined;
}
