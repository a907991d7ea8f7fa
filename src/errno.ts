/** Linux error numbers, which are also the guest's: asm-generic has the same on x86-64 and arm64. */
import { constants } from 'node:os';

export const Errno = constants.errno;

/** Other names of EAGAIN and EOPNOTSUPP. */
const aliases: ReadonlySet<string> = new Set(['EWOULDBLOCK', 'ENOTSUP']);

const names = new Map<number, string>(
  Object.entries(Errno)
    .filter(([name]) => !aliases.has(name))
    .map(([name, number]) => [number, name]),
);

/** The symbol of an error number, or `errno N` for one that has no name here. */
export function errnoName(errno: number): string {
  return names.get(errno) ?? `errno ${errno}`;
}
