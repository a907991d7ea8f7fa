/** What an ELF file says of itself, as readelf(1) prints it. */
import { execFileSync } from 'node:child_process';

export interface Elf {
  /** As in the header: `Advanced Micro Devices X86-64`, `AArch64`. */
  readonly machine: string;
  /** The libraries that it needs. */
  readonly needed: readonly string[];
  /** The symbol versions that it needs: `GLIBC_2.34`. */
  readonly versions: readonly string[];
  /** The symbols that it needs, without their versions. */
  readonly imports: readonly string[];
  /** The global symbols that it defines. Weak ones are left out. */
  readonly exports: readonly string[];
}

export function readElf(path: string): Elf {
  const options = ['--wide', '--file-header', '--dynamic', '--version-info', '--dyn-syms'];
  const text = execFileSync('readelf', [...options, path], {
    encoding: 'utf8',
    env: { ...process.env, LC_ALL: 'C' },
  });
  const all = (pattern: RegExp): string[] => [...text.matchAll(pattern)].map(([, found]) => found!);
  const versionNeeds = text.slice(text.indexOf('.gnu.version_r'));
  return {
    machine: all(/^ {2}Machine: +(.+)$/gm)[0]!,
    needed: all(/\(NEEDED\) +Shared library: \[(.+)\]/g),
    versions: [...versionNeeds.matchAll(/Name: (\S+)/g)].map(([, name]) => name!),
    imports: all(/ UND (\w+)/g),
    exports: all(/ GLOBAL +DEFAULT +\d+ (\w+)/g),
  };
}
