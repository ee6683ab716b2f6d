package server

import (
	"net/http"
	"slices"
	"time"

	"github.com/hostnat/hostnat/internal/model"
	"github.com/hostnat/hostnat/internal/priority"
)

// How many readings of users who are not trusted go on at a time: a list of all sessions takes
// a second of a processor where there are a million.
const (
	othersAtOnce = 2
	userSlots    = 64 // one reading of a user at a time; two users may have the same one
)

// others has users who are not trusted read one after the other, and not before those who are.
type others struct {
	atOnce chan struct{}
	users  [userSlots]chan struct{}
}

func newOthers() *others {
	o := &others{atOnce: make(chan struct{}, othersAtOnce)}
	for i := range o.users {
		o.users[i] = make(chan struct{}, 1)
	}
	return o
}

// inTurn has a request read when it is its turn.
func inTurn[Out any](s *Server, r *http.Request, f func(Service, *http.Request) (Out, error)) (out Out, err error) {
	done, err := s.others.read(r)
	if err != nil {
		return out, err
	}
	defer done()
	return f(s.service, r)
}

// read waits for a request's turn, which lasts until done is called, at the priority of ordinary
// programs. What is for everybody needs no turn; streams of events have limits of their own.
func (o *others) read(r *http.Request) (done func(), err error) {
	if trusted(r) || slices.Contains(public, r.URL.Path) {
		return func() {}, nil
	}
	p, _ := r.Context().Value(peerKey{}).(peer)
	late := time.NewTimer(answerTime)
	defer late.Stop()
	var had []chan struct{}
	leave := func() {
		for _, c := range had {
			<-c
		}
	}
	for _, c := range []chan struct{}{o.users[p.uid%userSlots], o.atOnce} {
		select {
		case c <- struct{}{}:
			had = append(had, c)
		case <-r.Context().Done():
			leave()
			return nil, r.Context().Err()
		case <-late.C:
			leave()
			return nil, model.Errorf(model.Unavailable, "others of this user, or of all who are not in the group %q, read too much", Group).WithHint("try again later")
		}
	}
	ordinary, err := priority.Ordinary()
	if err != nil {
		leave()
		return nil, err
	}
	return func() { ordinary(); leave() }, nil
}
