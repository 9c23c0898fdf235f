"""Prose of the reference pages that no list in the code has."""

from __future__ import annotations

from typing import Final

CLIENTS: Final = (
    (
        "Java, Kafka Streams, Kafka Connect",
        "nothing: the default",
        "a `partitioner.class` of its own",
    ),
    ("Python: aiokafka, kafka-python", "nothing: the default", "a `partitioner` of its own"),
    (
        "Python: confluent-kafka",
        '`Producer({"bootstrap.servers": …, "partitioner": "murmur2_random"})`',
        "yes, crc32",
    ),
    (
        "C and C++: librdkafka",
        '`rd_kafka_conf_set(conf, "partitioner", "murmur2_random", …)`',
        "yes, crc32",
    ),
    ("Go: confluent-kafka-go", '`kafka.ConfigMap{"partitioner": "murmur2_random"}`', "yes, crc32"),
    ("Go: franz-go", "nothing: the default", "a `kgo.RecordPartitioner` of its own"),
    (
        "Go: segmentio/kafka-go",
        "`kafka.Writer{Balancer: &kafka.Murmur2Balancer{}}`",
        "yes: round robin, whatever the key",
    ),
    (
        "Go: Sarama",
        "`sarama.NewCustomPartitioner(sarama.WithAbsFirst(),"  # noqa: ISC004 - one cell
        " sarama.WithCustomHashFunction(murmur2))`, with a murmur2 of yours",
        "yes: FNV-1a",
    ),
    (
        "Node: kafkajs 2",
        "`kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner })`: the default",
        "version 1: a hash of its own",
    ),
    (
        "Node: confluent-kafka-javascript, node-rdkafka",
        "`'partitioner': 'murmur2_random'` in the producer's configuration",
        "to be safe",
    ),
    (
        ".NET: Confluent.Kafka",
        "`new ProducerConfig { Partitioner = Partitioner.Murmur2Random }`",
        "yes, crc32",
    ),
    ("Rust: rdkafka", '`ClientConfig::new().set("partitioner", "murmur2_random")`', "yes, crc32"),
)
"""Of each client: how it chooses partitions by murmur2, and whether its default differs."""

EVENTS_HEAD: Final = """\
Every event has `type`, `id` (unique within `source`), `source` and `occurred_at`.
Events of orders have `order_id`; messages have `shop_id` and `buyer_id`. Ids are texts without
control characters. Unknown fields are ignored, and null is the same as absent. Money is in minor
units.

`occurred_at` is RFC 3339 with zone, read to the millisecond. A leap second (`2016-12-31T23:59:60Z`)
is read as the last millisecond before it, so that it stays in its day and its cycle.

An event has at most 262,144 bytes. There is no other bound on the lines of an order or a refund, or
on `line_ids`: some 3,000 usual lines fit. All lines of an order together are at most 10^18 minor
units.

## Versions

An event of a later version than the first names it: by the header `ce_dataschema` in binary mode,
by the attribute `dataschema` in structured mode, by the field `dataschema` in a bare object, such
as `urn:netsold:receipt_confirmed:2`. Without it, or with the id of a schema that isn't netsold's,
an event is of version 1. Every version stays accepted, and producers change when they like: a log
may mix versions, and an event that is sent again in another version is the same event. A version
that isn't known is parked as `unknown_version`, and the detail names those that are. What a version
brings stands with its type; how one is added: [evolution](../evolution.md).

In the first versions an absent list means all lines in four types, and "not known" in two others.
The second versions of the four name all lines as `"all"`, and refuse a list that is absent: a
refund whose lines got lost on the way is no refund of the whole order any more.

## Forms

Records of `orders` and `chats` may have each of these forms. Files for `netsold import` and
`netsold recount` may have all but the first.

- CloudEvents 1.0 in binary mode: `ce_id` = `id`, `ce_source` = `source`, `ce_type` = `type`,
  `ce_time` = `occurred_at`, `ce_subject` = `order_id`; the rest is the value.
- CloudEvents 1.0 in structured mode, with `data` or `data_base64`, whatever `datacontenttype` is.
- One bare JSON object with the fields below.

A byte order mark before the JSON is ignored. Of a name that appears twice the last one counts.
Numbers must be written as integers (`2.0` isn't one). NaN, half surrogate pairs and bytes that
aren't UTF-8 are refused, in unknown fields too.

A file is JSONL, one event a line, or one JSON array. It may be plain, gzip, bzip2, xz, zstd (with
`pip install 'netsold[export]'`), or zip with one file in it, which its first bytes decide and not
its name. A line or element that is too large is refused by its number, and the rest is read.
UTF-16, CSV, one object over many lines, Parquet, lz4 and folders are refused in one sentence, with
the remedy, before anything is written. By a mapping, CSV, Parquet and JSON of other systems are
events, too: [import](../import.md).

From Debezium, send the outbox's events with `table.expand.json.payload=true`. From Kafka Connect,
send them with `value.converter.schemas.enable=false` and keys by `StringConverter`: a key in JSON
(`"o-1"` in quotes, or schema and payload) isn't the order's id. A record of a row's change (`op`,
`before`, `after`) is no event.
"""
PARTITIONERS: Final = (
    "## Partitioners\n\nAll events of an order, and all messages of a conversation, must be in one"
    " partition, so all producers of a topic must choose partitions in the same way. Clients differ"
    " by default: most use Java's murmur2, those built on librdkafka use crc32. `netsold` writes by"
    " `NETSOLD_PARTITIONER`, and parks records in other partitions"
    " ([wrong_partition](../runbook.md#wrong-partition)).\n\n"
    "{clients}"
    "\nIf all producers are librdkafka's, they may keep their default: set"
    " `NETSOLD_PARTITIONER=crc32` before the first worker runs. A mirror must keep the partitions'"
    " numbers, or choose them again by the key.\n"
)
KEYS: Final = (
    "\nThe key of an order's record is its `order_id`, of a message `shop_id/buyer_id`. All"
    " producers choose the partition by murmur2: librdkafka's clients need"
    " `partitioner=murmur2_random` ([client by client](topics.md#partitioners)).\n"
)

CACHING: Final = """\
## Freshness, caching, compression, other origins

Answers under `/v1` have their `freshness` in the body. It also stands in headers, so that a 304
has it:

{headers}

Such an answer has a weak `ETag`. It changes when that answer changes: a sale of another product
leaves it, and so does progress in `freshness` alone; another `freshness.state` changes it.
`If-None-Match` with the `ETag` gives 304. Answers about an earlier moment and explanations also
have `moment.included`, which follows the log, and the `ETag` with it. `Cache-Control: no-cache`
lets a browser keep an answer and have it confirmed. With `Accept-Encoding: gzip`, answers of
{size} bytes or more are compressed.

Pages of other origins may read answers where `NETSOLD_READER_CORS_ORIGINS` names their origin, or
is `*`. They may send `Authorization` and `If-None-Match`, and read `ETag`, `Link`, `Retry-After`
and the headers above. Cookies are never used. By default no other origin may.
"""
