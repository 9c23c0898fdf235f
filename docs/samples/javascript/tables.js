// The table of products' sales, from the topic `product-sales`; and what `cycles` says of them.
//
//   node tables.js BOOTSTRAP STATE_FILE [PREFIX]
//
// What was read, and the offsets up to which it was, are one file that is replaced as a whole. So a
// restart, also after a kill, neither loses a record nor counts one twice. PREFIX is that of the
// base's topics. A rebuild has topics of its own: the pointer in `control` names its prefix, and
// its table is read from the beginning, in the place of the former one.
import { randomUUID } from 'node:crypto';
import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { Kafka, logLevel } from 'kafkajs';

const [bootstrap, file, prefix = ''] = process.argv.slice(2);
const kafka = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.ERROR });

// Reads a topic from `offsets` (by partition) to its present end, and moves them on.
const read = async (topic, offsets, add) => {
  const admin = kafka.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const left = new Map();
  for (const { partition, low, high } of ends) {
    offsets[partition] ??= low;
    if (BigInt(offsets[partition]) < BigInt(high)) left.set(partition, BigInt(high));
  }
  if (left.size === 0) return ends.length;
  // kafkajs needs a group; this one commits nothing, as the offsets are in the file
  const consumer = kafka.consumer({ groupId: `tables-${randomUUID()}` });
  const ended = new Promise((resolve) => {
    consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
      const next = BigInt(lastOffset) + 1n;
      if (next > BigInt(offsets[partition])) offsets[partition] = String(next);
      if (next >= (left.get(partition) ?? 0n)) left.delete(partition);
      if (left.size === 0) resolve();
    });
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const { key, value, offset } of batch.messages) {
        if (BigInt(offset) >= BigInt(offsets[batch.partition])) {
          add(batch.partition, key?.toString(), value && JSON.parse(value));
        }
      }
    },
  });
  for (const partition of left.keys()) consumer.seek({ topic, partition, offset: offsets[partition] });
  await ended;
  await consumer.disconnect();
  return ends.length;
};

const control = {};
await read(`${prefix}control`, {}, (_, key, value) => (control[key] = value));
const version = control.pointer && control[`version/${control.pointer.app}`];
const own = version ? version.topic_prefix : prefix;

let state = existsSync(file) ? JSON.parse(readFileSync(file)) : {};
if (state.prefix !== own) {
  state = { prefix: own, rows: {}, through: {}, cycles: {}, ended: {}, offsets: [{}, {}] };
}

const partitions = await read(`${own}product-sales`, state.offsets[0], (partition, key, row) => {
  if (row.type === 'complete_through') state.through[partition] = row.as_of;
  else if (row.type === 'product_sales') state.rows[key] = row;
});
await read(`${own}cycles`, state.offsets[1], (partition, key, record) => {
  if (record.subject === 'shop') return;
  if (record.type === 'complete_through') state.ended[partition] = record.as_of;
  const now = record.type === 'restated' ? record.after : record.sales;
  if (!now) return; // another type
  // the marketplace is the sum of its shares
  const name = `${key} ${record.share ?? ''} ${record.cycle.start}`;
  state.cycles[name] = { revision: record.revision, sales: now };
});

writeFileSync(`${file}.new`, JSON.stringify(state));
renameSync(`${file}.new`, file);

// Complete through the least instant of all partitions; null while one of them has none.
const least = (instants) => {
  const known = Object.values(instants);
  return known.length < partitions || known.includes(null) ? null : known.sort()[0];
};
console.log(
  JSON.stringify({
    complete_through: least(state.through),
    ended_until: least(state.ended),
    rows: Object.values(state.rows),
    cycles: state.cycles,
  }),
);
