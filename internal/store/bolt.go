package store

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/hostnat/hostnat/internal/config"
	"github.com/hostnat/hostnat/internal/model"
)

// version is the layout's. A layout that this hostnat could not read gets a
// higher one, in the name of the only bucket: "v2".
const version = 2

var (
	bucketName = []byte("v" + strconv.Itoa(version)) // objects by key, and sumKey
	sumKey     = []byte("sum")                       // see sum: bbolt's pages have no checksum
)

// Layout 1, which is read and replaced by the first change.
var (
	bucketName1 = []byte("v1")
	configKey1  = []byte("config") // the Config as JSON
	sumKey1     = []byte("sha256") // of the JSON
)

// sum is the checksum of all objects: the exclusive or of their own, so that a
// change of one need not read the others.
type sum [sha256.Size]byte

func (s *sum) toggle(key, text []byte) {
	h := sha256.New()
	h.Write([]byte{byte(len(key))})
	h.Write(key)
	h.Write(text)
	subtle.XORBytes(s[:], s[:], h.Sum(nil))
}

// openTimeout is how long to wait for a bbolt lock. Other daemons are kept out
// by lockDir; this is for a person who looks into the file with a bbolt tool.
const openTimeout = time.Second

func openBolt(path string) (db *bbolt.DB, err error) {
	defer recoverAsDamage(&err)()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: openTimeout, NoFreelistSync: true})
	if errors.Is(err, berrors.ErrTimeout) {
		return nil, model.Errorf(model.Conflict, "another program has %s open", path).WithHint("end it and start again")
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return db, nil
}

// read returns the configuration, a damage, or a refusal of a newer layout.
// isOld: it is of an older layout.
func read(db *bbolt.DB) (c config.Config, isOld bool, err error) {
	defer recoverAsDamage(&err)()
	err = db.View(func(tx *bbolt.Tx) error {
		if err := refuseNewer(tx, db.Path()); err != nil {
			return err
		}
		b := tx.Bucket(bucketName)
		if b != nil {
			return readObjects(b, &c)
		}
		if b = tx.Bucket(bucketName1); b == nil {
			return damagef("there is no configuration in it")
		}
		isOld = true
		return readWhole(b, &c)
	})
	return c, isOld, err
}

func readObjects(b *bbolt.Bucket, c *config.Config) error {
	rest := b.Get([]byte(restKey))
	if rest == nil {
		return damagef("there is no configuration in it")
	}
	if err := json.Unmarshal(rest, c); err != nil {
		return damagef("the configuration cannot be read: %v", err)
	}
	var total sum
	err := b.ForEach(func(key, text []byte) error {
		if bytes.Equal(key, sumKey) {
			return nil
		}
		total.toggle(key, text)
		if string(key) == restKey {
			return nil
		}
		if err := addObject(c, string(key), text); err != nil {
			return damagef("the configuration cannot be read: %v", err)
		}
		return nil
	})
	if err == nil && !bytes.Equal(total[:], b.Get(sumKey)) {
		return damagef("the configuration does not match its checksum")
	}
	return err
}

func readWhole(b *bbolt.Bucket, c *config.Config) error {
	text := b.Get(configKey1)
	if sum := sha256.Sum256(text); !bytes.Equal(sum[:], b.Get(sumKey1)) {
		return damagef("the configuration does not match its checksum")
	}
	if err := json.Unmarshal(text, c); err != nil {
		return damagef("the configuration cannot be read: %v", err)
	}
	return nil
}

func refuseNewer(tx *bbolt.Tx, path string) error {
	return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		digits, _ := strings.CutPrefix(string(name), "v")
		if v, err := strconv.ParseUint(digits, 10, 31); err == nil && v > version {
			return model.Errorf(model.Unavailable, "%s was written by a newer hostnat (layout %d; this one knows %d)", path, v, version).
				WithHint("use that version, or another --state-dir")
		}
		return nil
	})
}

// write puts a whole configuration in the place of what is there.
func write(db *bbolt.DB, c config.Config) (err error) {
	defer recoverAsDamage(&err)()
	return db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketName, bucketName1} {
			if err := tx.DeleteBucket(name); err != nil && !errors.Is(err, berrors.ErrBucketNotFound) {
				return err
			}
		}
		b, err := tx.CreateBucket(bucketName)
		if err != nil {
			return err
		}
		return putObjects(b, allObjects(c), sum{})
	})
}

// change writes some objects; nil is one that is to go.
func change(db *bbolt.DB, objects map[string]any) (err error) {
	defer recoverAsDamage(&err)()
	return db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketName)
		if b == nil {
			return errors.New("the configuration is gone")
		}
		var total sum
		copy(total[:], b.Get(sumKey))
		return putObjects(b, objects, total)
	})
}

func putObjects(b *bbolt.Bucket, objects map[string]any, total sum) error {
	for _, name := range slices.Sorted(maps.Keys(objects)) {
		key := []byte(name)
		if old := b.Get(key); old != nil {
			total.toggle(key, old)
		}
		if objects[name] == nil {
			if err := b.Delete(key); err != nil {
				return err
			}
			continue
		}
		text, err := json.Marshal(objects[name])
		if err != nil {
			return err
		}
		total.toggle(key, text)
		if err := b.Put(key, text); err != nil {
			return err
		}
	}
	return b.Put(sumKey, total[:])
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
