/** Whether `serve` can make its sockets. */
import { access, constants, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type Finding, failure, ok, warning } from './finding.js';

const ERRORS = 'docs/errors.md#the-operator-codes';
const MAY_CONNECT = 'docs/security.md#who-may-connect';

/** `path`: where a socket is to be, from the root of the file system. */
export async function socketFinding(path: string): Promise<Finding> {
  const folder = dirname(path);
  const there = await stat(folder).catch(() => null);
  if (!there?.isDirectory())
    return failure(
      path,
      `the folder ${folder} ${there ? 'is none' : 'does not exist'}`,
      `make it, for the user of serve; below /run a unit does that (RuntimeDirectory=), or tmpfiles.d`,
      ERRORS,
    );
  const file = await stat(path).catch(() => null);
  if (file && !file.isSocket())
    return failure(path, 'is a file that is no socket', 'remove it, or choose another socket-path', ERRORS);
  const mayWrite = await access(folder, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!mayWrite)
    return warning(
      path,
      `this user may not write to the folder ${folder}`,
      'start serve as root with --user, or choose a folder of the user',
      MAY_CONNECT,
    );
  return ok(path, file ? 'the socket is there already' : `the socket can be made in ${folder}`);
}
