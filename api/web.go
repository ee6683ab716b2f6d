package api

import (
	"context"
	"net/http"
)

// Web is where the daemon's web page is.
type Web struct {
	URL string `json:"url"` // with the token that it needs: who has that may see what root may, and end sessions
}

// Web asks where the web page is. A daemon that serves none refuses with code NotFound.
func (c *Client) Web(ctx context.Context) (w Web, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/web", nil, &w)
	return w, err
}
