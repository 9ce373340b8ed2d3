package texts

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"vssgate/internal/login"
)

var prompts = []login.PromptText{
	login.PromptCode, login.PromptNumber, login.PromptSimple, login.PromptNoPush,
	login.PromptNotificationsOff, login.PromptAgain, login.PromptWrongCode, login.PromptFallback, "",
}

var reasons = []login.Reason{
	login.BadPassword, login.BadCode, login.WrongNumber, login.Denied, login.Reported, login.Expired, login.Revoked,
	login.SeveralLogins, login.NoDevice, login.NoNumber, login.BadNumber, login.NumberChanged, login.NoCustodian,
	login.OldApp, login.LockedOut, login.PasswordExpired, login.AccountDisabled, login.NotAllowed, login.EmptyPassword, login.AccountLocked,
	login.AppendNeeded, login.HoldOver, login.WrongCode, login.CodeUsed, login.BadState, login.Unavailable,
}

const ownCodes = login.AllowTOTP | login.AllowRecovery | login.AllowHelp

const longURL = "https://user.baohiemxahoi.gov.vn/" + "tai-khoan/thong-tin-ca-nhan/khai-bao-ma-so-bao-hiem-xa-hoi/"

// everyReply calls f with each reply there is, with its longest values.
func everyReply(f func(name string, r login.Reply)) {
	for _, number := range []string{"", "42", "4217", "421794"} {
		for _, p := range prompts {
			for _, codes := range []login.FactorSet{0, login.AllowTOTP, ownCodes} {
				if codes != 0 && number != "" {
					continue // no phone can confirm: there is nobody to type it
				}
				f(fmt.Sprintf("%s number %q codes %d", p, number, codes), login.Reply{Kind: login.Ask, Prompt: p, Number: number, Tries: 10,
					ValidFor: 10 * time.Minute, Trace: "K7QF2D", Codes: codes})
			}
		}
	}
	far := time.Date(2027, 12, 31, 23, 59, 0, 0, time.UTC)
	for _, why := range reasons {
		for _, until := range []time.Time{{}, far} {
			for _, approval := range []login.Approval{login.ApprovalSimple, login.ApprovalNumber} {
				f(fmt.Sprint(why, until, approval), login.Reply{Kind: login.Reject, Reason: why, Until: until,
					Approval: approval, Tries: 10, ValidFor: 10 * time.Minute, Trace: "K7QF2D"})
				f(fmt.Sprint(why, until, approval, "own codes"), login.Reply{Kind: login.Reject, Reason: why, Until: until,
					Approval: approval, Tries: 10, ValidFor: 10 * time.Minute, Trace: "K7QF2D", Codes: ownCodes})
			}
		}
	}
	f("no answer", login.Reply{Kind: login.NoAnswer, Trace: "K7QF2D"})
	f("bad answer", login.Reply{Kind: login.BadAnswer, Trace: "K7QF2D"})
}

func TestEveryReplyFitsOneAttributeWithTheLongestValues(t *testing.T) {
	longest := map[string]int{}
	for _, url := range []string{"", longURL, longURL + strings.Repeat("x", 300)} {
		for _, support := range []string{"", "Hotline 1900 9068", strings.Repeat("Hỗ trợ ", 60)} {
			for _, ascii := range []bool{false, true} {
				for _, backend := range []bool{false, true} {
					texts := must(t, Options{AccountURL: url, Support: support, PlainASCII: ascii, HasBackend: backend,
						CodeDigits: 8, MinVersion: "10.20.30.40", Grace: 599 * time.Second, ReportLock: 1439 * time.Minute})
					for _, lang := range languages {
						for _, separator := range []string{",", "", ";", "###"} {
							everyReply(func(name string, r login.Reply) {
								got := texts.Reply(client(lang, separator), r)
								fits(t, name, got, ascii)
								if support == "" {
									longest[lang] = max(longest[lang], len(got))
								}
							})
						}
					}
				}
			}
		}
	}
	t.Log("longest without support:", longest)
}

func fits(t *testing.T, name, got string, ascii bool) {
	t.Helper()
	require.LessOrEqual(t, len(got), MaxBytes, "%s: %s", name, got)
	require.True(t, utf8.ValidString(got), name)
	require.True(t, norm.NFC.IsNormalString(got), name)
	require.True(t, strings.HasSuffix(got, " [K7QF2D]"), "%s: %s", name, got)
	require.NotContains(t, got, "\x00", name)
	require.NotContains(t, got, "  ", name)
	if ascii {
		require.True(t, isASCII(got), got)
	}
}

// Nothing is cut in the middle: what the last resort would do to a sentence
// never happens with the values the configuration allows.
func TestNoReplyIsCutShort(t *testing.T) {
	texts := must(t, Options{AccountURL: longURL, CodeDigits: 8, MinVersion: "10.20.30.40", Grace: 599 * time.Second, HasBackend: true})
	for _, lang := range languages {
		everyReply(func(name string, r login.Reply) {
			got := texts.Reply(client(lang, ";"), r)
			require.Regexp(t, `([.]|;12345678) \[K7QF2D\]$`, got, name)
		})
	}
}

func TestAPromptHoldsExactlyOneNumberOfTheLengthToMatch(t *testing.T) {
	numbers := []string{"42", "421", "4217", "42179", "421794"}
	durations := []time.Duration{5 * time.Second, 45 * time.Second, 90 * time.Second, 2 * time.Minute,
		150 * time.Second, 599 * time.Second, 10 * time.Minute, 100 * time.Minute}
	for _, support := range []string{"", "Gọi 1900 9068", "Máy lẻ 42", "Tel 123", "12345", "123456"} {
		for _, code := range []int{6, 8} {
			texts := must(t, Options{CodeDigits: code, Support: support})
			for _, number := range numbers {
				alone := regexp.MustCompile(fmt.Sprintf(`(^|\D)\d{%d}($|\D)`, len(number)))
				for _, p := range prompts {
					if p == login.PromptNumber || p == "" {
						continue
					}
					for _, d := range durations {
						for _, tries := range []int{2, 10, 100} {
							for _, lang := range languages {
								got := texts.Reply(client(lang, ","), login.Reply{Kind: login.Ask, Prompt: p, Number: number,
									Tries: tries, ValidFor: d, Trace: "KAQFXD"})
								require.Len(t, alone.FindAllString(got, -1), 1, got)
								require.Contains(t, got, number)
							}
						}
					}
				}
			}
		}
	}
}

func TestThePromptForANumberHoldsExactlyThatNumber(t *testing.T) {
	texts := must(t, Options{CodeDigits: 8, Support: "Ext. 99"})
	got := texts.Reply(client("en", ","), login.Reply{Kind: login.Ask, Prompt: login.PromptNumber, Number: "42",
		ValidFor: 10 * time.Minute, Trace: "KAQFXD"})
	require.Equal(t, "Open VssID, enter 42 to approve, then press OK here; or type the 8-digit code VssID shows. "+
		"Valid ten minutes. No notification? Open VssID. [KAQFXD]", got)
}

func TestSupportIsAddedWhereItFits(t *testing.T) {
	texts := must(t, Options{Support: "Hỗ trợ: 1900 9068"})
	reject := login.Reply{Kind: login.Reject, Reason: login.BadPassword, Trace: "K7QF2D"}
	require.Equal(t, "Tên đăng nhập hoặc mật khẩu không đúng. Hỗ trợ: 1900 9068 [K7QF2D]", texts.Reply(client("vi", ","), reject))

	texts = must(t, Options{Support: strings.Repeat("x", 250)})
	require.Equal(t, "Wrong user name or password. [K7QF2D]", texts.Reply(client("en", ","), reject))
}

func TestPlainASCIIStripsEveryDiacritic(t *testing.T) {
	texts := must(t, Options{PlainASCII: true, Support: "Đầu mối: Phòng CNTT"})
	got := texts.Reply(client("vi", ","), login.Reply{Kind: login.Ask, Prompt: login.PromptSimple, Trace: "K7QF2D"})
	require.Equal(t, "Mo VssID va bam Dong y roi bam OK tai day; hoac nhap ma 6 so VssID dang hien. Hieu luc 2 phut. "+
		"Khong thay thong bao: mo VssID. Dau moi: Phong CNTT [K7QF2D]", got)
	require.Equal(t, "Đồng ý", texts.Get("vi", "phone.approve", nil), "phones show every letter")
	require.Equal(t, "Duong D d ?", plain("Đương Đ đ …"))
}

func TestTheSeparatorIsNamedAsTheClientHasIt(t *testing.T) {
	texts := must(t, Options{CodeDigits: 8})
	r := login.Reply{Kind: login.Reject, Reason: login.AppendNeeded, Trace: "K7QF2D"}
	require.Contains(t, texts.Reply(client("en", ";"), r), "with password, ;, code as the password. Example: secret;12345678 [")
	require.Contains(t, texts.Reply(client("en", ""), r), "with password directly followed by code as the password. Example: secret12345678 [")
	require.Contains(t, texts.Reply(client("vi", ""), r), "mật khẩu rồi mã, viết liền nhau. Ví dụ: matkhau12345678 [")
}

func TestWhatCarriesNoTextIsEmpty(t *testing.T) {
	texts := must(t, Options{})
	for _, kind := range []login.ReplyKind{login.Silence, login.Accept, login.Relay} {
		require.Empty(t, texts.Reply(client("vi", ","), login.Reply{Kind: kind, Trace: "K7QF2D"}))
	}
}

func TestAReplyBeforeThereIsAnAttemptHasNoTrace(t *testing.T) {
	require.Equal(t, "Wrong user name or password.",
		must(t, Options{}).Reply(client("en", ","), login.Reply{Kind: login.Reject, Reason: login.BadPassword}))
}

func TestDurationsReadNaturally(t *testing.T) {
	en := must(t, Options{}).books["en"]
	for _, c := range []struct {
		d     time.Duration
		avoid int
		want  string
	}{
		{time.Second, 0, "1 second"}, {45 * time.Second, 0, "45 seconds"}, {time.Minute, 0, "60 seconds"},
		{90 * time.Second, 0, "90 seconds"}, {2 * time.Minute, 0, "2 minutes"}, {10 * time.Minute, 0, "10 minutes"},
		{45 * time.Second, 2, "under a minute"}, {time.Minute, 2, "1 minute"}, {150 * time.Second, 3, "2 minutes"},
		{10 * time.Minute, 2, "ten minutes"}, {10 * time.Minute, 3, "10 minutes"},
	} {
		require.Equal(t, c.want, string(en.duration(nil, c.d, c.avoid)))
	}
	require.Equal(t, "1 min", string(en.left(nil, time.Minute)))
	require.Equal(t, "59 s", string(en.left(nil, 59*time.Second)))
	require.Equal(t, "0 s", string(en.left(nil, -time.Second)))
}

func TestBothLanguagesHaveTheSameTexts(t *testing.T) {
	texts := must(t, Options{})
	require.Len(t, texts.books["en"].texts, len(texts.books["vi"].texts))
	for key := range texts.books["vi"].texts {
		require.Contains(t, texts.books["en"].texts, key)
	}
	for _, p := range prompts[:len(prompts)-1] {
		require.True(t, texts.Has(string(p)), p)
	}
	for _, why := range reasons {
		if texts.reasonKey(login.Reply{Reason: why}) == keyStartAgain {
			require.Equal(t, login.BadState, why, "a reason that users read has a text")
		}
	}
}

func TestTheLanguageIsTheReadersOrTheConfiguredOne(t *testing.T) {
	vi, en := must(t, Options{}), must(t, Options{Language: "en"})
	for header, want := range map[string]string{"en-GB,en;q=0.9": "en", "vi": "vi", "fr, vi;q=0.5": "vi", "vi-VN,en;q=0.8": "vi"} {
		require.Equal(t, want, vi.Language(header), header)
		require.Equal(t, want, en.Language(header), header)
	}
	for _, header := range []string{"", "ja", ";;;", "*"} {
		require.Equal(t, "vi", vi.Language(header), header)
		require.Equal(t, "en", en.Language(header), header)
	}
	require.Equal(t, "Approve", en.Get("", "phone.approve", nil))
	_, err := New(Options{Language: "fr"})
	require.ErrorContains(t, err, "want vi or en")
}

func TestRenderingIsCheap(t *testing.T) {
	texts := must(t, Options{Support: "Hotline 1900 9068"})
	c := client("vi", ",")
	r := login.Reply{Kind: login.Ask, Prompt: login.PromptNumber, Number: "42", ValidFor: 2 * time.Minute, Trace: "K7QF2D"}
	require.LessOrEqual(t, testing.AllocsPerRun(1000, func() { texts.Reply(c, r) }), 5.0)
}

func BenchmarkReply(b *testing.B) {
	texts := must(b, Options{})
	c := client("vi", ",")
	r := login.Reply{Kind: login.Ask, Prompt: login.PromptNumber, Number: "42", ValidFor: 2 * time.Minute, Trace: "K7QF2D"}
	b.ReportAllocs()
	for b.Loop() {
		texts.Reply(c, r)
	}
}

func TestWithoutAPhoneTheTextsNameTheAccountsOwnCodes(t *testing.T) {
	texts := must(t, Options{})
	ask := login.Reply{Kind: login.Ask, Prompt: login.PromptFallback, Codes: login.AllowTOTP | login.AllowRecovery, ValidFor: 2 * time.Minute, Trace: "K7QF2D"}
	require.Equal(t, "Hãy nhập tại đây trong 2 phút: mã 6 số của ứng dụng xác thực hoặc một mã khôi phục chưa dùng. [K7QF2D]", texts.Reply(client("vi", ","), ask))
	wrong := login.Reply{Kind: login.Ask, Prompt: login.PromptWrongCode, Codes: login.AllowHelp, Tries: 1, Trace: "K7QF2D"}
	require.Equal(t, "Wrong code, or one that was used. 1 try left. Enter the 8-digit code from the help desk. [K7QF2D]", texts.Reply(client("en", ","), wrong))
	needed := login.Reply{Kind: login.Reject, Reason: login.AppendNeeded, Approval: login.ApprovalSimple, Codes: login.AllowTOTP, Trace: "K7QF2D"}
	require.Equal(t, "Password correct. Log in again with password, comma, code as the password. The code is the 6-digit code of your authenticator app. [K7QF2D]",
		texts.Reply(client("en", ","), needed))
	began := login.Reply{Kind: login.Reject, Reason: login.BadCode, Codes: login.AllowRecovery, Trace: "K7QF2D"}
	require.Equal(t, "Wrong code, or one that was used. Log in again with an unused recovery code. [K7QF2D]", texts.Reply(client("en", ","), began))
}
