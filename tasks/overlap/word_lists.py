"""Words by which two questions may differ and still be the same question, and words that always make another one.

Lists by hand, for the languages that medical question sets are written in; a language without a list has its words
compared all alike. Latin, Cyrillic and Arabic words stand in the form that `tokens.folded` gives.
"""

from __future__ import annotations

_ENGLISH = """
a an the this that these those it its they their there he his him she her we our you your i my me
is are was were be been being am do does did has have had can could may might should would will shall must
of in on at to for from by with as into onto via per than and or if so such about among within upon
what which how whether please tell explain describe say know
"""
_ENGLISH_FRAME = """
best most likely probable common commonly usual usually typical typically general generally main mainly major
primary key first line initial appropriate preferred recommended suitable correct following next step choice option
reportedly currently actually really often frequently normally mostly probably possibly patient people person
individual subject case also just still then generally specifically exactly overall
"""
_EUROPEAN = """
de la el los las un una unos unas y o en que es son del al por para con se su como cual cuales
le les des du une et ou dans pour avec est sont au aux ce cette quel quelle quels quelles
der das den dem des ein eine einen einem einer und oder im bei mit ist sind von zu zur zum welche welcher welches
il lo gli uno ed di per da nel della dei qual e os um uma no na do dos qual
"""
_RUSSIAN = """
и в во на с со к ко у о об от до из за по для при ли же что это как какой какая какое какие каково каков чем
является быть есть был была было были может можно следует нужно надо или а
"""
_ARABIC = """
في من علي ما ماذا هل هو هي هم عن الي مع او و ان كيف كان كانت يكون تكون يمكن يجب التي الذي هذا هذه ذلك تلك عند لدي قد
"""
FUNCTION_WORDS = frozenset(f"{_ENGLISH} {_EUROPEAN} {_RUSSIAN} {_ARABIC}".split())
FRAME_WORDS = frozenset(_ENGLISH_FRAME.split())
COORDINATION = frozenset("and or plus versus vs with combined y o et ou und oder и или или و او مع".split())

_NEGATION = """
no not non nor neither never none without except unless lack absent fails fail cannot
sin sans nicht kein keine ohne nein jamais ne pas senza não sem
не нет без ни никогда кроме لا لم لن ليس ليست بدون غير دون
"""
_NUMBER_WORDS = """
one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand half once twice double single second third
"""
_QUALIFIERS = """
child childhood children infant infants neonate neonates neonatal newborn adolescent adolescents adult adults elderly
older younger young old man men woman women male female boy girl pregnant pregnancy pregnancies lactating postmenopausal
acute chronic severe mild moderate early late left right upper lower high low higher lower more less least increased
decreased increase decrease before after during proximal distal anterior posterior medial lateral internal external
positive negative stable unstable benign malignant type stage grade resistant recurrent secondary
острый острая хронический хроническая дети детей беременных пожилых левый правый высокий низкий
حاد حاده مزمن مزمنه اطفال حوامل
"""
NUMBER_WORDS = frozenset(_NUMBER_WORDS.split())
DECISIVE_WORDS = frozenset(f"{_NEGATION} {_NUMBER_WORDS} {_QUALIFIERS}".split())

# Terms one letter apart that are no slips of the pen.
CONFUSABLE = frozenset(
    frozenset(pair.split("/"))
    for pair in """
abduction/adduction abducted/adducted abductor/adductor dysphagia/dysphasia peroneal/perineal ureteral/urethral
nitrate/nitrite nitrates/nitrites sulfate/sulfite phosphate/phosphite chloride/chlorite palpate/palpated
mucosa/mucosal ethinyl/ethenyl quinine/quinidine estriol/estradiol cefazolin/cefazoline alkalosis/alkalosin
intercostal/infracostal interarterial/intraarterial internasal/intranasal interocular/intraocular
intermuscular/intramuscular aphagia/aphasia atrophy/atropha clonidine/clonidina carotene/carotine
vaginitis/vaginosis hydroxyzine/hydralazine apposition/opposition metaphysis/metaphyses cortisone/cortisol
malnutrition/manutrition lumbar/lumber afferent/efferent tympanitic/tympanic glucagon/glucogen glycogen/glucogen
""".split()
)

_CHINESE_FRAME = """
是否 能否 可否 能不能 会不会 是不是 有没有 可不可以 该不该 有无 请问 什么 何种 哪些 哪种 哪个 哪一种 哪一项 哪项 怎样 怎么样 怎么 如何
多少 为何 为什么 何 应当 应该 需要 须要 应予 应 该 需 须 可以 可能 能够 能 会 可 首先 最先 首要 首选 优先 最 先 首
患者 病人 病患 一名 一位 一个 一例 某 名 位 例 男子 出现 发生 发现 有 伴有 伴 引起 造成 导致 所致 所引起 由于 因为 因
原因 病因 缘由 进行 做 作 行 给予 采取 采用 使用 选用 考虑 想到 诊断 判断 属于 称为 是 为 的 了 着 地 得 之 其 这 那 此 该
在 于 与 和 及 以及 并 并且 且 或 或者 吗 呢 吧 啊 则 就 都 也 还 被 把 对 对于 从 由 到 向 以 后 时 时候 当 情况 情况下 下列 以下
治疗 处理 处置 检查 检验 方法 措施 方式 最近 近来 近期 通常 一般 常见 主要 目前 现在 正确 错误的是 描述 说法 叙述
"""
_JAPANESE_FRAME = """
は が を に の で と も へ や から まで より です ます でしょう ですか ますか か どの どのような どのように どんな どれ 何 なに なん どう
いかに どうやって べき 必要 患者 場合 時 とき 際 について における に対する ための した して する される れる いる ある あり こと もの
考え られる 考えられる まず 最初 最も 適切 主な 原因 治療 検査 方法 次の うち 行う 用いる
"""
_THAI_FRAME = """
คือ อะไร อย่างไร ควร ต้อง ที่ ใน ของ และ หรือ หรือไม่ เป็น ได้ ผู้ป่วย คนไข้ การ ให้ จะ มี ว่า ไหน อย่าง บ้าง ก่อน แรก ทำ เกิด สาเหตุ
"""
UNSPACED_FRAME = tuple(
    sorted({*_CHINESE_FRAME.split(), *_JAPANESE_FRAME.split(), *_THAI_FRAME.split()}, key=lambda word: (-len(word), word))
)

# Characters that decide what a question is about: negation, number, direction, side, sex, course, organ, disease, drug.
DECISIVE_CHARACTERS = frozenset(
    "不无無没未非勿禁忌否莫拒ไม่"
    "零〇一二两兩三四五六七八九十百千万半单單双雙初次倍"
    "高低增减減升降亢进進退多少大小快慢强強弱长長短早晚轻轻輕重热熱寒冷干乾湿湿"
    "左右上下前后後内內外近远遠浅淺深旁侧側正反阴陰阳陽男女老幼儿兒童婴嬰孕产產"
    "急慢良恶惡原继繼发性型期级級度"
    "心肝脾肺肾腎胃肠腸胰胆膽脑腦骨髓血脉脈眼耳鼻喉舌牙齿齒皮肤膚膀胱尿便卵巢宫宮乳腺甲颈頸胸腹腰背髋髖膝踝肩肘腕手足指趾头頭颅顱脊筋肌腱関关節节"
    "炎癌瘤症病痛热疹疮瘡毒菌肿腫梗塞栓溃潰疡瘍糖脂钾鉀钠鈉钙鈣镁鎂磷铁鐵氯碘铜锌"
    "素林平坦唑酮胺醇酯啶嗪沙星汀芬定青红紅黄黃白黑绿氨肼"
    "促抗拮激抑"
)
