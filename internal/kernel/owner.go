package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// SocketOwner asks the kernel (sock_diag(7)) for the user ID of the process on this host whose TCP
// socket is the other end of a connection between local and remote. found is false if there is no
// such socket on this host.
func SocketOwner(local, remote netip.AddrPort) (uid uint32, found bool, err error) {
	request, err := diagRequest(remote, local)
	if err != nil {
		return 0, false, err
	}
	response, err := ask(unix.NETLINK_INET_DIAG, request)
	if err != nil {
		return 0, false, fmt.Errorf("asking sock_diag: %w", err)
	}
	return diagOwner(response, local.Port())
}

// diagSockID is struct inet_diag_sockid of linux/inet_diag.h.
type diagSockID struct {
	SourcePort, DestPort [2]byte // in network order
	Source, Dest         [16]byte
	Interface            uint32
	Cookie               [2]uint32
}

// diagRequest encodes a request for the one socket that is bound to own and connected to peer.
func diagRequest(own, peer netip.AddrPort) ([]byte, error) {
	const anyCookie = ^uint32(0)
	request := struct { // struct nlmsghdr, struct inet_diag_req_v2
		Header                          unix.NlMsghdr
		Family, Protocol, Ext, Reserved uint8
		States                          uint32
		ID                              diagSockID
	}{
		Header: unix.NlMsghdr{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: unix.NLM_F_REQUEST},
		Family: unix.AF_INET, Protocol: unix.IPPROTO_TCP, States: ^uint32(0),
		ID: diagSockID{Cookie: [2]uint32{anyCookie, anyCookie}},
	}
	if own.Addr().Is6() {
		request.Family = unix.AF_INET6
	}
	request.Header.Len = uint32(binary.Size(request))
	binary.BigEndian.PutUint16(request.ID.SourcePort[:], own.Port())
	binary.BigEndian.PutUint16(request.ID.DestPort[:], peer.Port())
	copy(request.ID.Source[:], own.Addr().AsSlice())
	copy(request.ID.Dest[:], peer.Addr().AsSlice())
	return binary.Append(nil, binary.NativeEndian, request)
}

// diagOwner reads the response: an error, or struct inet_diag_msg. If no connection matches, the
// kernel returns a listener on the port, which has no peer port. A socket without an inode was
// closed by its process.
func diagOwner(response []byte, peerPort uint16) (uid uint32, found bool, err error) {
	var header unix.NlMsghdr
	n, err := binary.Decode(response, binary.NativeEndian, &header)
	if err != nil {
		return 0, false, errors.New("sock_diag: the response is too short")
	}
	if header.Type == unix.NLMSG_ERROR {
		return 0, false, diagError(response[n:])
	}
	var m struct {
		Family, State, Timer, Retransmits uint8
		ID                                diagSockID
		Expires, Receive, Send            uint32
		UID, Inode                        uint32
	}
	if _, err := binary.Decode(response[n:], binary.NativeEndian, &m); err != nil || header.Type != unix.SOCK_DIAG_BY_FAMILY {
		return 0, false, fmt.Errorf("sock_diag: unexpected message of type %d", header.Type)
	}
	connected := binary.BigEndian.Uint16(m.ID.DestPort[:]) == peerPort
	return m.UID, connected && m.Inode != 0, nil
}

// diagError decodes an error response. It returns nil if the kernel knows no such socket.
func diagError(body []byte) error {
	var errno int32
	if _, err := binary.Decode(body, binary.NativeEndian, &errno); err != nil {
		return errors.New("sock_diag: the response is too short")
	}
	if unix.Errno(-errno) == unix.ENOENT {
		return nil
	}
	return fmt.Errorf("sock_diag: %w", unix.Errno(-errno))
}
