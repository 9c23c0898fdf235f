// Revenue by day from the journal, and through when it is complete.
//
//   node revenue.js BOOTSTRAP [TOPIC]
import { randomUUID } from 'node:crypto';
import { Kafka, logLevel } from 'kafkajs';

const [bootstrap, topic = 'sales'] = process.argv.slice(2);
const kafka = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.ERROR });

const admin = kafka.admin();
await admin.connect();
const offsets = await admin.fetchTopicOffsets(topic);
await admin.disconnect();
const left = new Map(); // by partition: where it ends now
for (const { partition, high } of offsets) if (high !== '0') left.set(partition, BigInt(high));

const revenue = new Map();
const marks = new Map();

const add = (partition, row) => {
  if (row.type === 'entry') {
    const key = `${row.sold_at.slice(0, 10)} ${row.currency}`;
    const amount = BigInt(row.amount_gross) - BigInt(row.amount_reversed);
    revenue.set(key, (revenue.get(key) ?? 0n) + amount);
  } else if (row.type === 'mark') {
    marks.set(`${partition} ${row.partition}`, row.watermark_ms);
  }
};

// kafkajs needs a group, and reads what is committed unless it is given readUncommitted
const consumer = kafka.consumer({ groupId: `revenue-${randomUUID()}` });
const ended = new Promise((resolve) => {
  consumer.on(consumer.events.END_BATCH_PROCESS, ({ payload: { partition, lastOffset } }) => {
    if (BigInt(lastOffset) + 1n >= (left.get(partition) ?? 0n)) left.delete(partition);
    if (left.size === 0) resolve();
  });
});
await consumer.connect();
await consumer.subscribe({ topic, fromBeginning: true });
await consumer.run({
  autoCommit: false,
  eachBatch: async ({ batch }) => {
    for (const { value } of batch.messages) add(batch.partition, JSON.parse(value));
  },
});
if (left.size > 0) await ended;
await consumer.disconnect();

const times = [...marks.values()];
const known = times.length === offsets.length ** 2 && !times.includes(null);
console.log(
  JSON.stringify({
    complete_through: known ? new Date(Math.min(...times)).toISOString() : null,
    revenue: [...revenue]
      .filter(([, amount]) => amount !== 0n)
      .map(([key, amount]) => [...key.split(' '), Number(amount)])
      .sort(),
  }),
);
