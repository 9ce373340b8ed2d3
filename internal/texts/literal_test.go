package texts

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"vssgate/internal/login"
)

// With the default configuration users read exactly these words.
func TestTheWordingsWithDefaultValues(t *testing.T) {
	hanoi := time.FixedZone("+07", 7*3600)
	now := time.Date(2026, 11, 24, 14, 20, 0, 0, hanoi)
	texts := must(t, Options{TimeZone: hanoi, HasBackend: true, Now: func() time.Time { return now }})
	noBackend := must(t, Options{TimeZone: hanoi, Now: func() time.Time { return now }})

	ask := func(p login.PromptText) login.Reply { return login.Reply{Kind: login.Ask, Prompt: p} }
	no := func(why login.Reason) login.Reply { return login.Reply{Kind: login.Reject, Reason: why} }
	with := func(r login.Reply, change func(*login.Reply)) login.Reply { change(&r); return r }
	number := func(r *login.Reply) { r.Number = "42" }

	for _, c := range []struct {
		name   string
		reply  login.Reply
		vi, en string
	}{
		{"code", ask(login.PromptCode),
			"Nhập mã 6 số hiện trong VssID (hiệu lực 2 phút). Không thấy thông báo? Mở hoặc đăng nhập VssID để xem mã.",
			"Enter the 6-digit code shown in VssID (valid 2 minutes). No notification? Open or sign in to VssID to see the code."},
		{"number", with(ask(login.PromptNumber), number),
			"Mở VssID, nhập số 42 để đồng ý rồi bấm OK tại đây; hoặc nhập mã 6 số VssID đang hiện. Hiệu lực 2 phút. Không thấy thông báo: mở VssID.",
			"Open VssID, enter 42 to approve, then press OK here; or type the 6-digit code VssID shows. Valid 2 minutes. No notification? Open VssID."},
		{"simple", ask(login.PromptSimple),
			"Mở VssID và bấm Đồng ý rồi bấm OK tại đây; hoặc nhập mã 6 số VssID đang hiện. Hiệu lực 2 phút. Không thấy thông báo: mở VssID.",
			"Open VssID and tap Approve, then press OK here; or type the 6-digit code VssID shows. Valid 2 minutes. No notification? Open VssID."},
		{"no push", ask(login.PromptNoPush),
			"Lần này VssID không báo trên điện thoại. Hãy mở hoặc đăng nhập VssID, lấy mã 6 số và nhập tại đây trong 2 phút.",
			"This time your phone will not be notified. Open or sign in to VssID, and type its 6-digit code here within 2 minutes."},
		{"notifications off", ask(login.PromptNotificationsOff),
			"Điện thoại chưa cho phép VssID thông báo. Hãy mở VssID lấy mã 6 số (hiệu lực 2 phút). Lần sau: Cài đặt > Thông báo > VssID > Cho phép.",
			"Your phone does not let VssID notify you. Open VssID for the 6-digit code (valid 2 minutes). Next time: Settings > Notifications > VssID > Allow."},
		{"again, with a number", with(ask(login.PromptAgain), number),
			"Chưa nhận được xác nhận từ VssID. Xác nhận rồi bấm OK lại, hoặc nhập mã 6 số. Số cần nhập trên VssID: 42.",
			"VssID has not confirmed yet. Confirm, then press OK again, or type the 6-digit code. Number to enter in VssID: 42."},
		{"again, without one", ask(login.PromptAgain),
			"Chưa nhận được xác nhận từ VssID. Xác nhận rồi bấm OK lại, hoặc nhập mã 6 số.",
			"VssID has not confirmed yet. Confirm, then press OK again, or type the 6-digit code."},
		{"wrong code", with(ask(login.PromptWrongCode), func(r *login.Reply) { r.Tries = 2 }),
			"Mã không đúng. Còn 2 lần nhập. Mở VssID xem lại mã của lần đăng nhập này.",
			"Wrong code. 2 tries left. Look again at the code of this login in VssID."},
		{"wrong code, one try left", with(ask(login.PromptWrongCode), func(r *login.Reply) { r.Tries = 1 }),
			"Mã không đúng. Còn 1 lần nhập. Mở VssID xem lại mã của lần đăng nhập này.",
			"Wrong code. 1 try left. Look again at the code of this login in VssID."},
		{"a wrong appended code", with(no(login.WrongCode), func(r *login.Reply) { r.Tries = 2 }),
			"Mã không đúng. Còn 2 lần nhập. Mở VssID xem lại mã của lần đăng nhập này.",
			"Wrong code. 2 tries left. Look again at the code of this login in VssID."},
		{"wrong password", no(login.BadPassword),
			"Tên đăng nhập hoặc mật khẩu không đúng.", "Wrong user name or password."},
		{"an empty password reads as a wrong one", no(login.EmptyPassword),
			"Tên đăng nhập hoặc mật khẩu không đúng.", "Wrong user name or password."},
		{"append", no(login.AppendNeeded),
			"Mật khẩu đúng. Mở VssID lấy mã 6 số, rồi đăng nhập lại trong 2 phút, ô mật khẩu nhập: mật khẩu, dấu phẩy, mã. Ví dụ: matkhau,123456",
			"Password correct. Open VssID for the 6-digit code, then log in again within 2 minutes with password, comma, code as the password. Example: secret,123456"},
		{"append, simple", with(no(login.AppendNeeded), func(r *login.Reply) { r.Approval = login.ApprovalSimple }),
			"Mật khẩu đúng. Bấm Đồng ý trong VssID rồi đăng nhập lại bằng mật khẩu trong 60 giây; hoặc dùng mật khẩu,mã 6 số.",
			"Password correct. Tap Approve in VssID, then log in again with your password within 60 seconds; or use password,code."},
		{"too many wrong codes", no(login.BadCode),
			"Nhập sai mã quá số lần cho phép. Hãy đăng nhập lại từ đầu để nhận mã mới.",
			"Too many wrong codes. Log in again from the start to get a new code."},
		{"code used", no(login.CodeUsed),
			"Mã này đã được dùng. Hãy đăng nhập lại để nhận mã mới.",
			"This code has been used. Log in again to get a new one."},
		{"wrong number", no(login.WrongNumber),
			"Số nhập trên VssID không khớp. Lần đăng nhập này đã bị hủy, hãy đăng nhập lại.",
			"The number entered in VssID did not match. This login was cancelled; log in again."},
		{"denied", no(login.Denied),
			"Đăng nhập đã bị từ chối trên VssID. Nếu không phải bạn từ chối, hãy báo quản trị viên.",
			"This login was denied in VssID. If it was not you who denied it, tell your administrator."},
		{"reported", no(login.Reported),
			"Đăng nhập này bị báo là không phải chính chủ. Tài khoản tạm khóa 15 phút; hãy đổi mật khẩu và liên hệ quản trị viên.",
			"This login was reported as not the owner's. The account is locked for 15 minutes; change the password and contact your administrator."},
		{"expired", no(login.Expired),
			"Hết 2 phút chưa xác nhận. Hãy đăng nhập lại để nhận mã mới.",
			"Not confirmed within 2 minutes. Log in again to get a new code."},
		{"hold over", no(login.HoldOver),
			"Đã hết thời gian chờ. Nếu bạn vừa đồng ý trên VssID, hãy đăng nhập lại ngay bằng mật khẩu; không cần xác nhận lần nữa.",
			"Waiting time is over. If you have just approved in VssID, log in again now with your password; no second approval is needed."},
		{"several logins", no(login.SeveralLogins),
			"Có nhiều lần đăng nhập cùng lúc vào ứng dụng này. Hãy dùng mã 6 số, hoặc chờ 2 phút rồi đăng nhập lại.",
			"Several logins to this application are open at once. Use the 6-digit code, or wait 2 minutes and log in again."},
		{"no device", no(login.NoDevice),
			"Chưa có điện thoại nào dùng VssID cho tài khoản này. Hãy cài VssID 1.6.8 trở lên, đăng nhập bằng mã số BHXH của bạn rồi thử lại.",
			"No phone with VssID is set up for this account. Install VssID 1.6.8 or later, sign in with your social insurance number, then try again."},
		{"no number", no(login.NoNumber),
			"Tài khoản chưa khai báo mã số BHXH. Vào https://user.baohiemxahoi.gov.vn, mục Thông tin tài khoản, khai báo rồi đăng nhập lại.",
			"No social insurance number is on record for this account. Declare it at https://user.baohiemxahoi.gov.vn, Account information, then log in again."},
		{"bad number", no(login.BadNumber),
			"Mã số BHXH của tài khoản không hợp lệ (phải có 10 hoặc 12 chữ số). Hãy sửa tại https://user.baohiemxahoi.gov.vn.",
			"This account's social insurance number is not valid (10 or 12 digits). Correct it at https://user.baohiemxahoi.gov.vn."},
		{"number changed", no(login.NumberChanged),
			"Mã số BHXH của tài khoản đã thay đổi và chưa được xác nhận. Hãy liên hệ quản trị viên.",
			"This account's social insurance number has changed and is not confirmed yet. Contact your administrator."},
		{"no custodian", no(login.NoCustodian),
			"Tài khoản tổ chức chưa có văn bản giao cán bộ quản lý còn hiệu lực. Hãy liên hệ quản trị viên của đơn vị.",
			"This organisation account has no officer in charge with a valid written assignment. Contact your unit's administrator."},
		{"old app", no(login.OldApp),
			"VssID trên điện thoại đã cũ. Hãy cập nhật lên 1.6.8 trở lên (App Store hoặc Google Play), mở VssID rồi đăng nhập lại.",
			"VssID on your phone is too old. Update to 1.6.8 or later (App Store or Google Play), open VssID, then log in again."},
		{"locked out", with(no(login.LockedOut), func(r *login.Reply) { r.Until = now.Add(15 * time.Minute).UTC() }),
			"Nhập sai mã nhiều lần, tài khoản tạm khóa đến 14:35. Hãy thử lại sau hoặc liên hệ quản trị viên.",
			"Too many wrong codes; the account is locked until 14:35. Try again later or contact your administrator."},
		{"locked out until tomorrow", with(no(login.LockedOut), func(r *login.Reply) { r.Until = now.Add(24 * time.Hour) }),
			"Nhập sai mã nhiều lần, tài khoản tạm khóa đến 14:20 ngày 25/11/2026. Hãy thử lại sau hoặc liên hệ quản trị viên.",
			"Too many wrong codes; the account is locked until 14:20 on 25/11/2026. Try again later or contact your administrator."},
		{"locked out until an administrator unlocks", no(login.LockedOut),
			"Nhập sai mã nhiều lần, tài khoản bị khóa cho đến khi quản trị viên mở. Hãy liên hệ quản trị viên.",
			"Too many wrong codes; the account is locked until an administrator unlocks it. Contact your administrator."},
		{"password expired", no(login.PasswordExpired),
			"Mật khẩu đã hết hạn hoặc phải đổi. Hãy đổi mật khẩu rồi đăng nhập lại.",
			"Your password has expired or must be changed. Change it, then log in again."},
		{"account disabled", no(login.AccountDisabled),
			"Tài khoản đang bị khóa hoặc hết hạn trong thư mục. Hãy liên hệ quản trị viên.",
			"The account is disabled, locked or expired in the directory. Contact your administrator."},
		{"not allowed", no(login.NotAllowed),
			"Tài khoản này không được phép đăng nhập tại đây. Hãy liên hệ quản trị viên.",
			"This account may not log in here. Contact your administrator."},
		{"revoked", no(login.Revoked),
			"Lần đăng nhập này đã bị thu hồi. Hãy đăng nhập lại từ đầu; nếu vẫn không được, hãy liên hệ quản trị viên.",
			"This login was revoked. Log in again from the start; if that does not help, contact your administrator."},
		{"unavailable", login.Reply{Kind: login.NoAnswer, Reason: login.Unavailable},
			"Hệ thống xác thực tạm gián đoạn. Hãy thử lại sau ít phút.",
			"The login service is temporarily unavailable. Try again in a few minutes."},
		{"a bad State tells nothing", no(login.BadState),
			"Lần đăng nhập này không còn hiệu lực. Hãy đăng nhập lại từ đầu.",
			"This login is no longer valid. Log in again from the start."},
		{"a broken answer tells nothing", login.Reply{Kind: login.BadAnswer},
			"Lần đăng nhập này không còn hiệu lực. Hãy đăng nhập lại từ đầu.",
			"This login is no longer valid. Log in again from the start."},
		{"a reason without a text tells nothing", no("quantum"),
			"Lần đăng nhập này không còn hiệu lực. Hãy đăng nhập lại từ đầu.",
			"This login is no longer valid. Log in again from the start."},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.reply.Trace = "K7QF2D"
			require.Equal(t, c.vi+" [K7QF2D]", texts.Reply(client("vi", ","), c.reply))
			require.Equal(t, c.en+" [K7QF2D]", texts.Reply(client("en", ","), c.reply))
		})
	}
	require.Equal(t, "Chưa có điện thoại nào được kích hoạt cho tài khoản này. Hãy liên hệ quản trị viên để nhận mã kích hoạt VssID. [K7QF2D]",
		noBackend.Reply(nil, login.Reply{Kind: login.Reject, Reason: login.NoDevice, Trace: "K7QF2D"}))
	require.Equal(t, "No phone is activated for this account. Ask your administrator for a VssID activation code. [K7QF2D]",
		noBackend.Reply(client("en", ","), login.Reply{Kind: login.Reject, Reason: login.NoDevice, Trace: "K7QF2D"}))
}

func TestTheWordingsOfPhonesPushesAndLoginPages(t *testing.T) {
	texts := must(t, Options{})
	type m = map[string]any
	for _, c := range []struct {
		key    string
		values m
		vi, en string
	}{
		{"push.title", nil, "Xác nhận đăng nhập", "Confirm login"},
		{"push.body", nil, "Có yêu cầu đăng nhập cần xác nhận. Mở VssID để xem mã. Nếu không phải bạn, chọn Từ chối.",
			"A login is waiting for you. Open VssID to see the code. If it is not you, choose Deny."},
		{"phone.title", nil, "Mã xác thực SSO", "SSO code"},
		{"phone.login", m{"Code": "123456", "Left": 95 * time.Second, "Client": "hq-vpn", "From": "203.0.113.7", "Username": "an.nv"},
			"Mã 123 456, còn 1 phút 35 giây. Đăng nhập hq-vpn từ 203.0.113.7, tài khoản an.nv. Chỉ nhập mã ở màn hình bạn vừa đăng nhập; không đọc mã cho bất kỳ ai.",
			"Code 123 456, 1 min 35 s left. Login to hq-vpn from 203.0.113.7, account an.nv. Type it only where you have just logged in; read it to nobody."},
		{"phone.approve", nil, "Đồng ý", "Approve"},
		{"phone.deny", nil, "Từ chối", "Deny"},
		{"phone.not_me", nil, "Không phải tôi", "Not me"},
		{"phone.reopen", nil, "Lỡ đóng màn hình này? Mở lại, hoặc đăng xuất rồi đăng nhập VssID: mã vẫn như cũ cho đến khi hết 2 phút.",
			"Closed this screen? Open it again, or sign out of VssID and in: the code stays the same until the 2 minutes are over."},
		{"phone.none_open", nil, "Không có lần đăng nhập nào đang chờ. Hãy nhập tên đăng nhập và mật khẩu trên máy tính trước.",
			"No login is waiting. First enter your user name and password on the computer."},
		{"phone.nobody_waits", nil, "Đã đồng ý. Hãy bấm OK hoặc đăng nhập lại trên máy tính trong 60 giây.",
			"Approved. Press OK or log in again on the computer within 60 seconds."},
		{"phone.denied", nil, "Đã từ chối. Người đăng nhập biết mật khẩu của bạn: nếu không phải bạn, hãy đổi mật khẩu ngay.",
			"Denied. Whoever tried knows your password: if it was not you, change it now."},
		{"phone.ended", nil, "Lần đăng nhập này đã kết thúc hoặc đã được xác nhận trên thiết bị khác.",
			"This login has ended or was answered on another device."},
		{"phone.clock", nil, "Giờ trên điện thoại lệch quá nhiều. Hãy bật ngày giờ tự động rồi thử lại.",
			"The clock of your phone is off. Turn on automatic date and time, then try again."},
		{"hint.hold", m{"Hold": 55 * time.Second}, "Sau khi bấm Đăng nhập, hãy mở VssID trên điện thoại và bấm Đồng ý. Trang này chờ tối đa 55 giây.",
			"After you click Log in, open VssID on your phone and tap Approve. This page waits up to 55 seconds."},
		{"hint.append", nil, "Mở VssID lấy mã sau lần bấm Đăng nhập đầu tiên; sau đó nhập lại ô mật khẩu dạng: mật khẩu,mã (mã 6 số, hiệu lực 2 phút).",
			"After the first click on Log in, get the code from VssID; then enter the password field as: password,code (6 digits, valid 2 minutes)."},
		{"accept.before_policy", m{"Date": time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC)},
			"Từ 01/03/2027 phải xác nhận bằng VssID. Tài khoản của bạn chưa có điện thoại; hãy cài VssID 1.6.8 trở lên và đăng nhập.",
			"From 01/03/2027 VssID confirmation is required. Your account has no phone yet; install VssID 1.6.8 or later and sign in."},
		{"no such text", nil, "no such text", "no such text"},
	} {
		t.Run(c.key, func(t *testing.T) {
			require.Equal(t, c.vi, texts.Get("vi", c.key, c.values))
			require.Equal(t, c.en, texts.Get("en", c.key, c.values))
		})
	}
}

func must(t testing.TB, o Options) *Texts {
	t.Helper()
	texts, err := New(o)
	require.NoError(t, err)
	return texts
}

func client(language, separator string) *login.Client {
	return &login.Client{Name: "hq-vpn", Language: language, Separator: separator}
}
