// Revenue by day from the journal, and through when it is complete.
//
//	go run . BOOTSTRAP [TOPIC]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type row struct {
	Type        string `json:"type"`
	SoldAt      string `json:"sold_at"`
	Currency    string `json:"currency"`
	Gross       int64  `json:"amount_gross"`
	Reversed    int64  `json:"amount_reversed"`
	Partition   int32  `json:"partition"`
	WatermarkMs *int64 `json:"watermark_ms"`
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	topic := "sales"
	if len(os.Args) > 2 {
		topic = os.Args[2]
	}
	ctx := context.Background()
	client, err := kgo.NewClient(
		kgo.SeedBrokers(os.Args[1]),
		kgo.ConsumeTopics(topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // or aborted records count, too
		kgo.KeepControlRecords(),                     // the last record may be one
	)
	check(err)
	defer client.Close()
	listed, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	check(err)
	left := map[int32]int64{} // by partition: where it ends now
	listed.Each(func(one kadm.ListedOffset) {
		check(one.Err)
		if one.Offset > 0 {
			left[one.Partition] = one.Offset
		}
	})
	partitions := len(listed[topic])
	revenue := map[[2]string]int64{}
	marks := map[[2]int32]*int64{}
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		fetches.EachError(func(_ string, _ int32, err error) { check(err) })
		fetches.EachRecord(func(record *kgo.Record) {
			if !record.Attrs.IsControl() {
				var found row
				check(json.Unmarshal(record.Value, &found))
				switch found.Type {
				case "entry":
					revenue[[2]string{found.SoldAt[:10], found.Currency}] += found.Gross - found.Reversed
				case "mark":
					marks[[2]int32{record.Partition, found.Partition}] = found.WatermarkMs
				}
			}
			if end, ok := left[record.Partition]; ok && record.Offset+1 >= end {
				delete(left, record.Partition)
			}
		})
	}
	print(revenue, marks, partitions*partitions)
}

func print(revenue map[[2]string]int64, marks map[[2]int32]*int64, needed int) {
	var through *string
	least := int64(1<<63 - 1)
	known := len(marks) == needed
	for _, mark := range marks {
		known = known && mark != nil
		if mark != nil {
			least = min(least, *mark)
		}
	}
	if known {
		text := time.UnixMilli(least).UTC().Format("2006-01-02T15:04:05.000Z07:00")
		through = &text
	}
	rows := [][]any{}
	for key, amount := range revenue {
		if amount != 0 {
			rows = append(rows, []any{key[0], key[1], amount})
		}
	}
	slices.SortFunc(rows, func(a, b []any) int { return slices.Compare(texts(a), texts(b)) })
	text, err := json.Marshal(map[string]any{"complete_through": through, "revenue": rows})
	check(err)
	fmt.Println(string(text))
}

func texts(row []any) []string { return []string{row[0].(string), row[1].(string)} }
