/** A producer in a process of its own, which the test kills. It feeds the node that it is told. */
import { Producer } from './producer.js';

await Producer.start(process.argv[2]!);
process.send!('feeds');
