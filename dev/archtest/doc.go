// Package archtest holds tests of the repository itself: who may import whom,
// and that the documents speak of things that exist. It has no other code.
package archtest
