package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// Metrics writes the daemon's numbers to w, in Prometheus's text format.
func (c *Client) Metrics(ctx context.Context, w io.Writer) error {
	resp, err := c.send(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return fmt.Errorf("read the daemon's answer to GET /metrics: %w", err)
	}
	return nil
}
