/**
 * Text of others: devices, guests, VMMs, other processes. It may contain anything, so everything that the terminal or
 * the log gets goes through this file. A device that is plugged in could otherwise move the cursor or forge a log line.
 */

/**
 * Controls (C0, DEL and C1: with them, escape sequences), line and paragraph separators, bidirectional controls, halves
 * of surrogate pairs, and U+FFFD, which decoders put in the place of invalid UTF-8.
 */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\p{Cs}\ufffd]/gu;

/** The text in one line. Each character that must not reach a terminal is a question mark. */
export function printable(text: string): string {
  return text.replace(unprintable, '?');
}

/** A copy of plain data in which every string is printable. The names of properties are the bridge's own. */
export function printableData<T>(data: T): T {
  if (typeof data === 'string') return printable(data) as T;
  if (Array.isArray(data)) return data.map(printableData) as T;
  if (typeof data !== 'object' || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, printableData(value)])) as T;
}

/** The stack of an error, or what else was thrown. Only a line of a call begins a new line. */
export function printableStack(thrown: unknown): string {
  const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
  return text
    .split(/\n(?= {4}at )/)
    .map(printable)
    .join('\n');
}
