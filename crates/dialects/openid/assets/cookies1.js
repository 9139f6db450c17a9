// Does this browser let a frame of ours keep the kind of cookie that signs people in? Set one, look for it on the next page.
document.cookie = `heliograph_frame=supported; SameSite=Lax; Path=${location.pathname.replace("step1.html", "")}${location.protocol === "https:" ? "; Secure" : ""}`;
location.replace("step2.html");
