/** The result of a command on stdout: text, or JSON if --json asks for it. */
import { printableData } from '../printable.js';

/** The result as JSON, or as the text that `textOf` makes of it. What others have said in it is printable in both. */
export function outputOf<T>(result: T, isJson: boolean | undefined, textOf: (result: T) => string): string {
  const clean = printableData(result);
  return isJson ? JSON.stringify(clean, null, 2) : textOf(clean);
}
