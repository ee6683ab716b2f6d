package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/hostnat/hostnat/internal/nat"
)

// version is the layout's. A layout that this hostnat could not read gets a
// higher one, in the name of the only bucket: "v1".
const version = 1

var (
	bucketName = []byte("v" + strconv.Itoa(version))
	configKey  = []byte("config") // the Config as JSON
	sumKey     = []byte("sha256") // of the JSON: bbolt's pages have no checksum
)

// openTimeout is how long to wait for a bbolt lock. Other daemons are kept out
// by lockDir; this is for a person who looks into the file with a bbolt tool.
const openTimeout = time.Second

func openBolt(path string) (db *bbolt.DB, err error) {
	defer recoverAsDamage(&err)()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, NoFreelistSync: true})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, nat.Errorf(nat.Conflict, "another program has %s open", path).WithHint("end it and start again")
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// read returns the configuration, a damage, or a refusal of a newer layout.
func read(db *bbolt.DB) (c nat.Config, err error) {
	defer recoverAsDamage(&err)()
	err = db.View(func(tx *bbolt.Tx) error {
		if err := refuseNewer(tx, db.Path()); err != nil {
			return err
		}
		b := tx.Bucket(bucketName)
		if b == nil {
			return damagef("there is no configuration in it")
		}
		text := b.Get(configKey)
		if sum := sha256.Sum256(text); !bytes.Equal(sum[:], b.Get(sumKey)) {
			return damagef("the configuration does not match its checksum")
		}
		if err := json.Unmarshal(text, &c); err != nil {
			return damagef("the configuration cannot be read: %v", err)
		}
		return nil
	})
	return c, err
}

func refuseNewer(tx *bbolt.Tx, path string) error {
	return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		digits, _ := strings.CutPrefix(string(name), "v")
		if v, err := strconv.ParseUint(digits, 10, 31); err == nil && v > version {
			return nat.Errorf(nat.Unavailable, "%s was written by a newer hostnat (layout %d; this one knows %d)", path, v, version).
				WithHint("use that version, or another --state-dir")
		}
		return nil
	})
}

func write(db *bbolt.DB, c nat.Config) (err error) {
	defer recoverAsDamage(&err)()
	text, err := json.Marshal(c)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	return db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(bucketName)
		if err != nil {
			return err
		}
		if err := b.Put(configKey, text); err != nil {
			return err
		}
		return b.Put(sumKey, sum[:])
	})
}

// recoverAsDamage makes bbolt's panics, and the bus error that reading a
// memory-mapped file gives when its disk or its end is gone, into a damage.
// Use: defer recoverAsDamage(&err)().
func recoverAsDamage(err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if r := recover(); r != nil {
			*err = damagef("%v", r)
		}
	}
}
