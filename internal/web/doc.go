// Package web is the page of `hostnat daemon --web`: its files, the token that its
// readers need, and what keeps other sites' pages away from it. What it shows it asks
// of the API, as every client does.
package web
