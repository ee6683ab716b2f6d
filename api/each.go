package api

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
)

// eachOf yields the elements of an array one by one as they come.
func eachOf[T any](ctx context.Context, c *Client, path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		resp, err := c.send(ctx, http.MethodGet, path, nil)
		if err != nil {
			yield(none, err)
			return
		}
		defer resp.Body.Close()
		rows := json.NewDecoder(resp.Body)
		_, err = rows.Token() // "["
		for err == nil && rows.More() {
			var v T
			if err = rows.Decode(&v); err == nil && !yield(v, nil) {
				return
			}
		}
		if err == nil {
			_, err = rows.Token() // "]": else the answer was cut off
		}
		if err != nil {
			yield(none, fmt.Errorf("read the daemon's answer to GET %s: %w", path, err))
		}
	}
}
