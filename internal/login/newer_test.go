package login

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestWhatANewerVersionHasAddedToJSONIsWrittenBack(t *testing.T) {
	type part struct {
		A string `json:"a"`
		N uint64 `json:"n,omitempty"`
	}
	type record struct {
		part
		Part *part     `json:"part,omitempty"`
		List []part    `json:"list,omitempty"`
		Raw  [][]byte  `json:"raw,omitempty"`
		At   time.Time `json:"at,omitzero"`
	}
	for name, c := range map[string]struct {
		old    string
		change func(*record)
		want   string
	}{
		"nothing is there yet":                  {``, func(r *record) { r.A = "1" }, `{"a":"1"}`},
		"nothing is unknown":                    {`{"a":"1"}`, func(r *record) { r.A = "2" }, `{"a":"2"}`},
		"a field":                               {`{"a":"1","new":{"x":[1,null]}}`, func(r *record) { r.A = "2" }, `{"a":"2","new":{"x":[1,null]}}`},
		"one of a part":                         {`{"a":"1","part":{"a":"1","new":1}}`, func(r *record) { r.Part.A = "2" }, `{"a":"1","part":{"a":"2","new":1}}`},
		"a part that goes takes its own along":  {`{"a":"1","part":{"a":"1","new":1}}`, func(r *record) { r.Part = nil }, `{"a":"1"}`},
		"a part that comes has none":            {`{"a":"1","new":1}`, func(r *record) { r.Part = &part{A: "2"} }, `{"a":"1","part":{"a":"2"},"new":1}`},
		"an element behind another one":         {`{"a":"1","list":[{"a":"1","new":1}]}`, func(r *record) { r.List = append(r.List, part{A: "2"}) }, `{"a":"1","list":[{"a":"1","new":1},{"a":"2"}]}`},
		"one that moves up":                     {`{"a":"1","list":[{"a":"1","new":1},{"a":"2","new":2}]}`, func(r *record) { r.List = r.List[1:] }, `{"a":"1","list":[{"a":"2","new":2}]}`},
		"one that changes":                      {`{"a":"1","list":[{"a":"1","new":1},{"a":"2","new":2}]}`, func(r *record) { r.List[1].A = "3" }, `{"a":"1","list":[{"a":"1","new":1},{"a":"3","new":2}]}`},
		"one that goes where another one comes": {`{"a":"1","list":[{"a":"1","new":1},{"a":"2"}]}`, func(r *record) { r.List = []part{{A: "2"}, {A: "3"}} }, `{"a":"1","list":[{"a":"2"},{"a":"3"}]}`},
		"equal ones":                            {`{"a":"1","list":[{"a":"1","new":1},{"a":"1","new":2}]}`, func(*record) {}, `{"a":"1","list":[{"a":"1","new":1},{"a":"1","new":2}]}`},
		"a list that goes":                      {`{"a":"1","list":[{"a":"1","new":1}]}`, func(r *record) { r.List = nil }, `{"a":"1"}`},
		"numbers and bytes":                     {`{"a":"1","n":18446744073709551615,"raw":["AQI="],"new":18446744073709551614.5}`, func(r *record) { r.Raw = append(r.Raw, []byte{3}) }, `{"a":"1","n":18446744073709551615,"raw":["AQI=","Aw=="],"new":18446744073709551614.5}`},
		"a zero that we leave out":              {`{"a":"1","n":0,"at":"0001-01-01T00:00:00Z"}`, func(r *record) { r.N = 7 }, `{"a":"1","n":7,"at":"0001-01-01T00:00:00Z"}`},
	} {
		t.Run(name, func(t *testing.T) {
			var r record
			if c.old != "" {
				require.NoError(t, json.Unmarshal([]byte(c.old), &r))
			}
			c.change(&r)
			for _, v := range []any{r, &r} {
				got, err := EncodeOver([]byte(c.old), v)
				require.NoError(t, err)
				require.Equal(t, tree(t, c.want), tree(t, string(got)))
			}
		})
	}
	_, err := EncodeOver([]byte("no JSON"), record{})
	require.Error(t, err)
}

func tree(t *testing.T, s string) map[string]json.RawMessage {
	all := map[string]json.RawMessage{}
	require.NoError(t, json.Unmarshal([]byte(s), &all))
	for k, v := range all {
		var b any
		if k != "n" && k != "new" { // exact
			require.NoError(t, json.Unmarshal(v, &b))
			all[k], _ = json.Marshal(b)
		}
	}
	return all
}
