-- Revenue by day from sales.jsonl, which export.py wrote, and through when it is complete.
--
--   duckdb < revenue.sql
create table journal as
select
  journal_partition,
  "offset",
  record ->> 'type' as type,
  record
from read_json('sales.jsonl', columns = {journal_partition: 'INTEGER', "offset": 'BIGINT', record: 'JSON'});

create view revenue as
select
  (record ->> 'sold_at')[:10] as day,
  record ->> 'currency' as currency,
  sum((record ->> 'amount_gross')::bigint - (record ->> 'amount_reversed')::bigint)::bigint as amount
from journal
where type = 'entry'
group by all
having amount <> 0;

-- the last mark of each source partition in each partition of the topic
create view marks as
select
  journal_partition,
  (record ->> 'partition')::int as source,
  arg_max(coalesce((record ->> 'watermark_ms')::bigint, -1), "offset") as watermark_ms
from journal
where type = 'mark'
group by all;

create view complete_through as
select
  case
    when count(*) = count(distinct journal_partition) ** 2 and min(watermark_ms) >= 0
    then strftime(epoch_ms(min(watermark_ms)), '%Y-%m-%dT%H:%M:%S.%gZ')
  end as complete_through
from marks;

from revenue order by day, currency;
from complete_through;
