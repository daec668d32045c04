package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ask sends a request of netlink(7) and returns the response, which is at most 4 kB.
func ask(protocol int, request []byte) (response []byte, err error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	defer unix.Close(fd) //nolint:errcheck // nothing is lost with it
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, err
	}
	response = make([]byte, 4<<10)
	n, _, err := unix.Recvfrom(fd, response, unix.MSG_DONTWAIT) // the kernel responds before Sendto returns
	return response[:max(n, 0)], err
}

// IsOwn reports whether addr is an address of this host: whether the kernel's route to it
// (rtnetlink(7)) is local. Listing the addresses would take longer the more interfaces there are.
func IsOwn(addr netip.Addr) (bool, error) {
	request := struct { // struct nlmsghdr, struct rtmsg, struct rtattr and what follows it
		Header    unix.NlMsghdr
		Route     unix.RtMsg
		Attribute unix.RtAttr
	}{
		Header:    unix.NlMsghdr{Type: unix.RTM_GETROUTE, Flags: unix.NLM_F_REQUEST},
		Route:     unix.RtMsg{Family: unix.AF_INET, Dst_len: uint8(addr.BitLen())}, //nolint:gosec // 32 or 128
		Attribute: unix.RtAttr{Type: unix.RTA_DST, Len: uint16(unix.SizeofRtAttr + len(addr.AsSlice()))},
	}
	if addr.Is6() {
		request.Route.Family = unix.AF_INET6
	}
	request.Header.Len = uint32(binary.Size(request) + len(addr.AsSlice()))
	encoded, err := binary.Append(nil, binary.NativeEndian, request)
	if err != nil {
		return false, err
	}
	response, err := ask(unix.NETLINK_ROUTE, append(encoded, addr.AsSlice()...))
	if err != nil {
		return false, fmt.Errorf("asking for a route: %w", err)
	}
	var header unix.NlMsghdr
	var route unix.RtMsg
	n, err := binary.Decode(response, binary.NativeEndian, &header)
	if err != nil || header.Type == unix.NLMSG_ERROR { // there is no route at all
		return false, err
	}
	if _, err := binary.Decode(response[n:], binary.NativeEndian, &route); err != nil {
		return false, errors.New("asking for a route: the response is too short")
	}
	return route.Type == unix.RTN_LOCAL, nil
}
