package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"go.etcd.io/bbolt"

	"github.com/hostnat/hostnat/internal/model"
)

// LeasesFileName is the name of the DHCP leases' file inside the state
// directory. It is apart from the configuration, since it is written hundreds
// of times a second and not waited for: see openLeases.
const LeasesFileName = "leases.db"

// leaseBucket has the leases: key "NETWORK\x00ADDRESS", value the Lease as JSON.
// The key makes sure that an address has one lease.
var leaseBucket = []byte("leases")

// openLeases opens the leases' file. What is written there is in the kernel's
// hands when SaveLeases returns, so that it survives the daemon's death; to wait
// for the disk would make it survive the host's, which no client does: they are
// this host's VMs. Should a power cut damage the file, hostnat starts with an
// empty one, and clients that come back get the addresses they ask for.
func (s *Store) openLeases(path string) error {
	damage := s.tryLeases(path)
	if damage == nil {
		return nil
	}
	if _, is := asDamage(damage); !is {
		return damage
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the damaged leases: %w", err)
	}
	s.problems = append(s.problems, fmt.Sprintf("the leases %s were damaged (%v): clients get new ones when they ask", path, damage))
	return s.tryLeases(path)
}

func (s *Store) tryLeases(path string) error {
	if _, err := checkFile(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	db, err := openBolt(path)
	if err != nil {
		return err
	}
	db.NoSync, db.NoGrowSync = true, true
	s.leases = db
	if _, err := s.Leases(); err != nil {
		db.Close()
		return err
	}
	return nil
}

// Leases returns the stored leases. One that cannot be read is left out: its
// client asks again, and at worst gets another address.
func (s *Store) Leases() (list []model.Lease, err error) {
	defer recoverAsDamage(&err)()
	err = s.leases.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(leaseBucket)
		if b == nil {
			return nil
		}
		return b.ForEach(func(key, text []byte) error {
			var l model.Lease
			if json.Unmarshal(text, &l) == nil && string(leaseKey(l)) == string(key) {
				list = append(list, l)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("load the leases: %w", err)
	}
	return list, nil
}

// SaveLeases stores some leases and takes others out, all or none. After it
// returns, the daemon may be killed.
func (s *Store) SaveLeases(save, drop []model.Lease) (err error) {
	defer recoverAsDamage(&err)()
	err = s.leases.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(leaseBucket)
		if err != nil {
			return err
		}
		for _, l := range drop {
			if err := b.Delete(leaseKey(l)); err != nil {
				return err
			}
		}
		for _, l := range save {
			text, err := json.Marshal(l)
			if err != nil {
				return err
			}
			if err := b.Put(leaseKey(l), text); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("save leases: %w", err)
	}
	return nil
}

func leaseKey(l model.Lease) []byte {
	return append(append([]byte(l.Network), 0), l.Address.String()...)
}
