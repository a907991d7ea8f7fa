/** A file of the host that may not be there. */
import { readFile } from 'node:fs/promises';

/** null: the file cannot be read. */
export const textOf = (path: string): Promise<string | null> => readFile(path, 'utf8').catch(() => null);
